"""The time from enqueueing to the first received chunk, on an idle system."""

import time
from typing import Final

from bench.peers.invokeq_client import PAUSE
from bench.peers.spread import percentile
from bench.reporting.result_table import OURS
from bench.setting import Setting, all_running
from bench.subjects.processes import ChildError, rss_mb
from bench.subjects.running import Running

NAME: Final = "first-chunk"
TITLE: Final = "Enqueue to first chunk, idle"
MEMORY: Final = "idle-memory"
PINGS: Final = 300
WARM: Final = 20
BLOCK: Final = 25


def run(setting: Setting) -> None:
    """Measure blocks of calls in turn; then single calls, each after an idle pause."""
    with all_running(setting, NAME) as up:
        for each in up:
            each.ask("latency", times=min(WARM, each.subject.calls))
            memory = rss_mb(each.worker.pid)
            setting.table.add(MEMORY, "idle worker", "MB", memory, of=each.name)
        for _ in range(setting.sizes.rounds):
            _round(setting, up)
        for _ in range(setting.sizes.idle_calls):
            time.sleep(setting.sizes.idle)
            for each in up:
                _take(setting, each, 1, f"after {setting.sizes.idle:g} s")
    _sum_up(setting, up)


def _round(setting: Setting, up: list[Running]) -> None:
    left = {each.name: setting.sizes.of(each.subject.calls) for each in up}
    while any(left.values()):
        for each in up:
            times = min(BLOCK, left[each.name])
            if times:
                left[each.name] -= times
                _take(setting, each, times, "call")
                if each.name == OURS:
                    _ping(setting, each)


def _ping(setting: Setting, ours: Running) -> None:
    """Measure PINGs at the pace of the calls, which each wake the server, and back to back."""
    for figure, times, pause in (("PING", BLOCK, PAUSE), ("PING back to back", PINGS, 0.0)):
        setting.table.add(NAME, figure, "ms", *ours.ask("ping", times=times, pause=pause))


def _take(setting: Setting, each: Running, times: int, figure: str) -> None:
    try:
        setting.table.add(NAME, figure, "ms", *each.ask("latency", times=times), of=each.name)
    except ChildError as error:
        setting.table.dash(NAME, figure, "ms", str(error), of=each.name)


def _sum_up(setting: Setting, up: list[Running]) -> None:
    table = setting.table
    pings = [(name, table.find(NAME, name)) for name in ("PING", "PING back to back")]
    for each in up:
        calls = table.find(NAME, "call", each.name)
        if calls is None:
            continue
        table.add(NAME, "p99", "ms", percentile(calls.values, 0.99), of=each.name)
        for name, ping in pings:
            if ping is not None:
                figure = f"p50 in {name.replace('PING', 'PINGs')}"
                table.add(NAME, figure, "x", calls.median / ping.median, of=each.name)
    table.goal(NAME, "p50 in PINGs", "<=", 10)
    table.goal(NAME, "p50 in PINGs back to back", "<=", 10)
    table.goal(NAME, "p99", "<=", 5)
    ours, best = table.find(NAME, "call"), table.best_peer(NAME, "call", most=False)
    if ours is not None and best is not None:
        row = table.add(NAME, "p50 to the best peer's", "x", ours.median / best.median)
        row.note = best.subject
        table.goal(NAME, "p50 to the best peer's", "<=", 0.7)
