"""Many paced streams through one worker process, all read by one client."""

from typing import Any, Final

from bench.reporting.result_table import OURS
from bench.setting import Setting, all_running
from bench.subjects.catalog import INVOKEQ
from bench.subjects.processes import ChildError, cpu_seconds
from bench.subjects.running import Running, running

NAME: Final = "streams"
TITLE: Final = "500 streams x 50 chunks/s through one worker process"
RATE: Final = 50.0

MANY: Final = "many-streams"
MANY_TITLE: Final = "1,000 streams x 20 chunks/s x 10 s through one worker process"
MANY_RATE: Final = 20.0

PATIENCE: Final = 12.0
"""The longest time of a subject, in multiples of the ideal time."""

SHOWN: Final = (
    ("wall / ideal", "x"),
    ("longest stream / ideal", "x"),
    ("p50 behind", "ms"),
    ("p99 behind", "ms"),
    ("worker CPU a chunk", "us"),
    ("client CPU a chunk", "us"),
    ("worker CPU / wall", "x"),
    ("delivered", "%"),
)


def run(setting: Setting) -> None:
    """Measure the subjects in turn."""
    sizes = setting.sizes
    with all_running(setting, NAME, places=sizes.streams, streams=True) as up:
        for _ in range(sizes.rounds):
            for each in list(up):
                try:
                    _measure(setting, NAME, each, sizes.streams, RATE, sizes.stream_seconds)
                except ChildError as error:
                    up.remove(each)  # its unfinished streams would disturb the other subjects
                    each.worker.kill()
                    for figure, unit in SHOWN:
                        setting.table.dash(NAME, figure, unit, str(error), of=each.name)
    for subject in setting.subjects:
        if not subject.streams:
            for figure, unit in SHOWN:
                setting.table.dash(NAME, figure, unit, "one job at a time", of=subject.name)
    table = setting.table
    table.goal(NAME, "wall / ideal", "<=", 1.05)
    table.goal(NAME, "p99 behind", "<=", 50)
    table.goal(NAME, "worker CPU a chunk", "<=", 35)
    table.goal(NAME, "client CPU a chunk", "<=", 35)


def run_many(setting: Setting) -> None:
    """Measure the longer run, for invokeq alone."""
    sizes = setting.sizes
    setting.erase()
    with running(setting.workspace, INVOKEQ, places=sizes.many_streams) as ours:
        _measure(setting, MANY, ours, sizes.many_streams, MANY_RATE, sizes.many_seconds)
    table = setting.table
    table.goal(MANY, "delivered", ">=", 100)
    table.goal(MANY, "p99 behind", "<=", 100)
    table.goal(MANY, "worker CPU / wall", "<=", 1)


def _measure(
    setting: Setting, measure: str, each: Running, streams: int, rate: float, seconds: float
) -> None:
    chunks = round(seconds * rate)
    limit = seconds * PATIENCE + 5
    before = cpu_seconds(each.worker.pid)
    found = each.ask(
        "streams", within=limit + 15, streams=streams, chunks=chunks, rate=rate, limit=limit
    )
    cpu = cpu_seconds(each.worker.pid) - before
    if found["ended"] < streams:
        raise ChildError(f"{each.name}: {found['ended']} of {streams} ended within {limit:g} s")
    # Our streams have a last chunk that ends them, due when the ideal time is over.
    expected = streams * (chunks + (each.name == OURS))
    _write(setting, measure, each, found, cpu, seconds, expected)


def _write(
    setting: Setting,
    measure: str,
    each: Running,
    found: dict[str, Any],
    cpu: float,
    seconds: float,
    expected: int,
) -> None:
    values = (
        found["wall"] / seconds,
        found["longest"] / seconds,
        found["p50_ms"],
        found["p99_ms"],
        cpu / found["delivered"] * 1e6,
        found["client_us"],
        cpu / found["wall"],
        100 * found["delivered"] / expected,
    )
    for (figure, unit), value in zip(SHOWN, values, strict=True):
        setting.table.add(measure, figure, unit, value, of=each.name)
