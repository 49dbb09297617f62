"""A plot of a run: one panel of bars for each compared figure."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from bench.reporting.result_table import OURS, Row

PANELS: Final = (
    ("first-chunk", "call", "First chunk, idle (ms)"),
    ("no-op", "rate", "No-op jobs a second, one process"),
    ("streams", "wall / ideal", "Streams: time / ideal"),
    ("streams", "worker CPU a chunk", "Streams: worker CPU a chunk (us)"),
    ("idle-memory", "idle worker", "Idle worker (MB)"),
    ("enqueue", "one by one", "Enqueued a second, one by one"),
)


def draw(path: Path, rows: Sequence[Row]) -> bool:
    """Write an SVG; return False without matplotlib (`pip install 'invokeq[bench]'`)."""
    try:
        import matplotlib as mpl
    except ImportError:
        return False
    mpl.use("svg")
    from matplotlib import pyplot

    panels = [(title, _of(rows, name, figure)) for name, figure, title in PANELS]
    panels = [(title, found) for title, found in panels if found]
    if not panels:
        return False
    columns = 2
    lines = -(-len(panels) // columns)
    figure, grid = pyplot.subplots(lines, columns, figsize=(11, 3.2 * lines), squeeze=False)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    for axes, (title, found) in zip(grid.flat, panels, strict=False):
        _panel(axes, title, found)
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)
    return True


def _of(rows: Sequence[Row], measure: str, figure: str) -> list[Row]:
    return [row for row in rows if row.measure == measure and row.figure == figure and row.values]


def _panel(axes: Any, title: str, rows: Sequence[Row]) -> None:
    medians = [row.median for row in rows]
    below = [row.median - row.quartiles[0] for row in rows]
    above = [row.quartiles[1] - row.median for row in rows]
    colours = ["#c2410c" if row.subject == OURS else "#94a3b8" for row in rows]
    axes.barh([row.subject for row in rows], medians, xerr=[below, above], color=colours)
    axes.set_title(title, fontsize=10)
    axes.invert_yaxis()
    axes.margins(x=0.18)
    if max(medians) > 20 * min(medians):  # on a linear axis the small bars would be invisible
        axes.set_xscale("log")
    axes.bar_label(axes.containers[-1], fmt="%.4g", padding=3, fontsize=8)
