"""No-op invocations a second through one worker process, from a full queue."""

import signal
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from bench.setting import Setting, all_running
from bench.subjects.catalog import INVOKEQ
from bench.subjects.processes import ChildError, cpu_seconds
from bench.subjects.running import Running, await_count
from invokeq.protocol.redis import keys

NAME: Final = "no-op"
TITLE: Final = "No-op invocations through one worker process"
FIGURE: Final = "rate"
WARM_SHARE: Final = 0.1
"""The clock starts when this share is done, because a held worker needs a moment to resume."""

SECONDS: Final = 40.0


def run(setting: Setting) -> None:
    """Fill the queue of each subject while its worker is held; release the worker and count."""
    with all_running(setting, NAME) as up:
        for _ in range(setting.sizes.rounds):
            for each in up:
                try:
                    _measure(setting, each)
                except (ChildError, TimeoutError) as error:
                    setting.table.dash(NAME, FIGURE, "/s", str(error), of=each.name)
    _sum_up(setting)


def _measure(setting: Setting, each: Running) -> None:
    jobs = setting.sizes.of(each.subject.jobs)
    worker, server = cpu_seconds(each.worker.pid), _server_cpu(each)
    setting.table.add(NAME, FIGURE, "/s", jobs_a_second(each, jobs), of=each.name)
    worker, server = cpu_seconds(each.worker.pid) - worker, _server_cpu(each) - server
    setting.table.add(NAME, "worker CPU a job", "us", worker / jobs * 1e6, of=each.name)
    setting.table.add(NAME, "server CPU a job", "us", server / jobs * 1e6, of=each.name)


def _server_cpu(each: Running) -> float:
    """Return the server's CPU seconds; the share of a job includes enqueueing."""
    used = each.redis.info("cpu")
    return float(used["used_cpu_user"]) + float(used["used_cpu_sys"])


def jobs_a_second(each: Running, jobs: int) -> float:
    """Return the rate at which one worker runs jobs from a full queue."""
    before = each.finished()
    with held(each):
        each.ask("fill", jobs=jobs)
    first = max(1, int(jobs * WARM_SHARE))
    began = await_count(each.finished, before + first, SECONDS)
    first = each.finished() - before
    return (jobs - first) / (await_count(each.finished, before + jobs, SECONDS) - began)


@contextmanager
def held(each: Running) -> Generator[None]:
    """Hold a worker: a peer by SIGSTOP, invokeq by RQ's suspension, since its lease would lapse."""
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
    table = setting.table
    ours, best = table.find(NAME, FIGURE), table.best_peer(NAME, FIGURE, most=True)
    if ours is None or best is None:
        return
    table.add(NAME, "to the fastest peer's", "x", ours.median / best.median).note = best.subject
    table.goal(NAME, "to the fastest peer's", ">=", 3)
    for peer, goal in (("rq SimpleWorker", 20), ("rq Worker", 80)):
        row = table.find(NAME, FIGURE, peer)
        if row is not None:
            table.add(NAME, f"to {peer}'s", "x", ours.median / row.median)
            table.goal(NAME, f"to {peer}'s", ">=", goal)
