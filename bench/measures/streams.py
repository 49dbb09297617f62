"""Many streams on schedule through one worker process, all of them read by one client."""

from typing import Any, Final

from bench.catalog import INVOKEQ
from bench.figures import OURS
from bench.processes import ChildError, cpu_seconds
from bench.running import Running, running
from bench.setting import Setting, all_running

NAME: Final = "streams"
TITLE: Final = "500 streams x 50 chunks/s through one worker process"
RATE: Final = 50.0

MANY: Final = "many-streams"
MANY_TITLE: Final = "1,000 streams x 20 chunks/s x 10 s through one worker process"
MANY_RATE: Final = 20.0

PATIENCE: Final = 12.0
"""How many times the ideal time a subject may take before it is stopped."""

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
    """Let the subjects take turns."""
    sizes = setting.sizes
    with all_running(setting, NAME, places=sizes.streams, streams=True) as up:
        for _ in range(sizes.rounds):
            for each in list(up):
                try:
                    _measure(setting, NAME, each, sizes.streams, RATE, sizes.stream_seconds)
                except ChildError as error:
                    up.remove(each)  # what it still has to do would disturb the others
                    each.worker.kill()
                    for figure, unit in SHOWN:
                        setting.book.dash(NAME, figure, unit, str(error), of=each.name)
    for subject in setting.subjects:
        if not subject.streams:
            for figure, unit in SHOWN:
                setting.book.dash(NAME, figure, unit, "one job at a time", of=subject.name)
    book = setting.book
    book.goal(NAME, "wall / ideal", "<=", 1.05)
    book.goal(NAME, "p99 behind", "<=", 50)
    book.goal(NAME, "worker CPU a chunk", "<=", 35)
    book.goal(NAME, "client CPU a chunk", "<=", 35)


def run_many(setting: Setting) -> None:
    """Do the longer run, ours alone."""
    sizes = setting.sizes
    setting.erase()
    with running(setting.place, INVOKEQ, places=sizes.many_streams) as ours:
        _measure(setting, MANY, ours, sizes.many_streams, MANY_RATE, sizes.many_seconds)
    book = setting.book
    book.goal(MANY, "delivered", ">=", 100)
    book.goal(MANY, "p99 behind", "<=", 100)
    book.goal(MANY, "worker CPU / wall", "<=", 1)


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
        setting.book.add(measure, figure, unit, value, of=each.name)
