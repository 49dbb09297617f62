"""From enqueueing to the first chunk in the reader's hand, on an idle system."""

import time
from typing import Final

from bench.figures import OURS
from bench.peers.invokeq_client import PAUSE
from bench.peers.spread import percentile
from bench.processes import ChildError, rss_mb
from bench.running import Running
from bench.setting import Setting, all_running

NAME: Final = "first-chunk"
TITLE: Final = "Enqueue to first chunk, idle"
MEMORY: Final = "idle-memory"
PINGS: Final = 300
WARM: Final = 20
BLOCK: Final = 25


def run(setting: Setting) -> None:
    """Take turns in blocks of calls; then let all idle, and call each once, several times."""
    with all_running(setting, NAME) as up:
        for each in up:
            each.ask("latency", times=min(WARM, each.subject.calls))
            memory = rss_mb(each.worker.pid)
            setting.book.add(MEMORY, "idle worker", "MB", memory, of=each.name)
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
    """Take PINGs at the pace of the calls, when each has to wake the server, and back to back."""
    for figure, times, pause in (("PING", BLOCK, PAUSE), ("PING back to back", PINGS, 0.0)):
        setting.book.add(NAME, figure, "ms", *ours.ask("ping", times=times, pause=pause))


def _take(setting: Setting, each: Running, times: int, figure: str) -> None:
    try:
        setting.book.add(NAME, figure, "ms", *each.ask("latency", times=times), of=each.name)
    except ChildError as error:
        setting.book.dash(NAME, figure, "ms", str(error), of=each.name)


def _sum_up(setting: Setting, up: list[Running]) -> None:
    book = setting.book
    pings = [(name, book.find(NAME, name)) for name in ("PING", "PING back to back")]
    for each in up:
        calls = book.find(NAME, "call", each.name)
        if calls is None:
            continue
        book.add(NAME, "p99", "ms", percentile(calls.values, 0.99), of=each.name)
        for name, ping in pings:
            if ping is not None:
                figure = f"p50 in {name.replace('PING', 'PINGs')}"
                book.add(NAME, figure, "x", calls.median / ping.median, of=each.name)
    book.goal(NAME, "p50 in PINGs", "<=", 10)
    book.goal(NAME, "p50 in PINGs back to back", "<=", 10)
    book.goal(NAME, "p99", "<=", 5)
    ours, best = book.find(NAME, "call"), book.best_peer(NAME, "call", most=False)
    if ours is not None and best is not None:
        row = book.add(NAME, "p50 to the best peer's", "x", ours.median / best.median)
        row.note = best.subject
        book.goal(NAME, "p50 to the best peer's", "<=", 0.7)
