"""No-op invocations a second through one worker process, from a queue that is full already."""

import signal
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from bench.catalog import INVOKEQ
from bench.processes import ChildError, cpu_seconds
from bench.running import Running, await_count
from bench.setting import Setting, all_running
from invokeq.protocol.redis import keys

NAME: Final = "no-op"
TITLE: Final = "No-op invocations through one worker process"
FIGURE: Final = "rate"
WARM_SHARE: Final = 0.1
"""The clock starts when this share is done: a worker that was held back has to get going."""

SECONDS: Final = 40.0


def run(setting: Setting) -> None:
    """Fill each subject's queue while its worker is held, let it go, count; in turn, in rounds."""
    with all_running(setting, NAME) as up:
        for _ in range(setting.sizes.rounds):
            for each in up:
                try:
                    _measure(setting, each)
                except (ChildError, TimeoutError) as error:
                    setting.book.dash(NAME, FIGURE, "/s", str(error), of=each.name)
    _sum_up(setting)


def _measure(setting: Setting, each: Running) -> None:
    jobs = setting.sizes.of(each.subject.jobs)
    worker, server = cpu_seconds(each.worker.pid), _server_cpu(each)
    setting.book.add(NAME, FIGURE, "/s", jobs_a_second(each, jobs), of=each.name)
    worker, server = cpu_seconds(each.worker.pid) - worker, _server_cpu(each) - server
    setting.book.add(NAME, "worker CPU a job", "us", worker / jobs * 1e6, of=each.name)
    setting.book.add(NAME, "server CPU a job", "us", server / jobs * 1e6, of=each.name)


def _server_cpu(each: Running) -> float:
    """Give the server's processor time; a job's share includes its enqueueing."""
    used = each.redis.info("cpu")
    return float(used["used_cpu_user"]) + float(used["used_cpu_sys"])


def jobs_a_second(each: Running, jobs: int) -> float:
    """Give the rate at which one worker does jobs that wait already."""
    before = each.finished()
    with held(each):
        each.ask("fill", jobs=jobs)
    first = max(1, int(jobs * WARM_SHARE))
    began = await_count(each.finished, before + first, SECONDS)
    first = each.finished() - before
    return (jobs - first) / (await_count(each.finished, before + jobs, SECONDS) - began)


@contextmanager
def held(each: Running) -> Generator[None]:
    """Keep a worker from taking jobs: a peer by SIGSTOP, ours, whose lease would lapse, by RQ's
    own suspension."""
    ours = each.subject is INVOKEQ
    if ours:
        each.redis.set(keys.SUSPENDED, 1)
    else:
        each.worker.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        if ours:
            each.redis.delete(keys.SUSPENDED)
        else:
            each.worker.signal(signal.SIGCONT)


def _sum_up(setting: Setting) -> None:
    book = setting.book
    ours, best = book.find(NAME, FIGURE), book.best_peer(NAME, FIGURE, most=True)
    if ours is None or best is None:
        return
    book.add(NAME, "to the fastest peer's", "x", ours.median / best.median).note = best.subject
    book.goal(NAME, "to the fastest peer's", ">=", 3)
    for peer, goal in (("rq SimpleWorker", 20), ("rq Worker", 80)):
        row = book.find(NAME, FIGURE, peer)
        if row is not None:
            book.add(NAME, f"to {peer}'s", "x", ours.median / row.median)
            book.goal(NAME, f"to {peer}'s", ">=", goal)
