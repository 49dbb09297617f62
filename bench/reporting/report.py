"""The printed tables at the end of a run."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.measures import MEASURES
from bench.reporting.result_table import OURS, ResultTable, Row

DASH = "-"


def show(console: Console, machine: dict[str, Any], table: ResultTable) -> None:
    """Print one table a measure: one line a subject, or one line a figure for a single subject."""
    facts = (machine["cpu"], f"{machine['cores']} cores", machine["system"])
    console.print("; ".join(facts), f"Python {machine['python']}, {machine['server']}", sep="\n")
    console.print(f"load before {machine['load_before']}, after {machine['load_after']}")
    for name, title in titles():
        mine = [row for row in table.rows() if row.measure == name]
        for _, text in (remark for remark in table.remarks if remark[0] == name):
            console.print(f"{name}: {text}")
        if not mine:
            continue
        subjects = list(dict.fromkeys(row.subject for row in mine))
        shared = _shared(mine)
        compared = [row for row in mine if row.figure in shared]
        if len(subjects) > 1:
            console.print(_pivot(title, subjects, compared))
            mine = [row for row in mine if row.figure not in shared or row.goal]
        ours = [row for row in mine if row.subject == OURS]
        if ours:
            console.print(_list(title, ours))


def titles() -> list[tuple[str, str]]:
    """Return names and titles of all measures."""
    return [pair for m in MEASURES for pair in ((m.name, m.title), *m.also)]


def number(value: float) -> str:
    """Return a number with its significant digits."""
    size = abs(value)
    digits = 0 if size >= 100 else 1 if size >= 10 else 2  # noqa: PLR2004
    return f"{value:,.{digits}f}"


def _shared(rows: Sequence[Row]) -> list[str]:
    """Return the figures that at least one peer has too, in order."""
    return list(dict.fromkeys(row.figure for row in rows if row.subject != OURS))


def _pivot(title: str, subjects: Sequence[str], rows: Sequence[Row]) -> Table:
    figures = _shared(rows)
    units = {row.figure: row.unit for row in rows}
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for figure in figures:
        table.add_column(f"{figure}, {units[figure]}" if units[figure] else figure, justify="right")
    cells = {(row.subject, row.figure): row for row in rows}
    for subject in subjects:
        table.add_row(subject, *(_cell(cells.get((subject, figure))) for figure in figures))
    return table


def _list(title: str, rows: Sequence[Row]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for column in ("median", "quartiles", "goal"):
        table.add_column(column, justify="right")
    table.add_column("")
    for row in rows:
        met = "" if row.met is None else "met" if row.met else "NOT MET"
        table.add_row(
            f"{row.figure}, {row.unit}", _median(row), _spread(row), row.goal, f"{met} {row.note}"
        )
    return table


def _cell(row: Row | None) -> str:
    if row is None or not row.values:
        return DASH
    spread = _spread(row)
    return f"{_median(row)} ({spread})" if spread else _median(row)


def _median(row: Row) -> str:
    return number(row.median) if row.values else DASH


def _spread(row: Row) -> str:
    if len(row.values) <= 1:
        return ""
    low, high = row.quartiles
    return f"{number(low)} to {number(high)}"
