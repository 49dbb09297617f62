"""How soon a cancel reaches the vendor, and how soon the loss of a worker is dealt with."""

import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Final

from bench.catalog import INVOKEQ
from bench.peers.invokeq_client import MESSAGES, PLUGIN, scripted
from bench.peers.spread import percentile
from bench.processes import Child
from bench.running import Providers, await_leases, start_worker
from bench.setting import Setting
from invokeq import Session
from invokeq.errors import WorkerLostError

NAME: Final = "faults"
TITLE: Final = "Cancel to vendor's connection closed; kill -9 of a worker to takeover or error"
CANCELS: Final = 100
SECONDS: Final = 30.0
POLL_SECONDS: Final = 0.0005


def run(setting: Setting) -> None:
    """Cancel streams that wait for the vendor; kill workers before and after a call has spoken."""
    setting.erase()
    journal = setting.place.directory / "vendor.journal"
    providers = {"scripted": {"journal_file": str(journal)}}
    with ExitStack() as stack:
        client = stack.enter_context(setting.place.connect())
        workers = [_start(setting, providers, stack) for _ in range(2)]
        await_leases(client, 2, workers[0])
        session = stack.enter_context(Session(PLUGIN, redis=setting.place.url))
        with journal.open() as notes:
            for _ in range(setting.sizes.of(CANCELS)):
                setting.book.add(NAME, "cancel to closed", "ms", _cancel(session, notes))
        for _ in range(setting.sizes.rounds):
            setting.book.add(NAME, "lost to error", "s", _lose(session, workers))
            workers.append(_start(setting, providers, stack))
            await_leases(client, 2, workers[-1])
            setting.book.add(NAME, "lost to taken over", "s", _take_over(session, workers))
            workers.append(_start(setting, providers, stack))
            await_leases(client, 2, workers[-1])
    closed = setting.book.find(NAME, "cancel to closed")
    if closed is not None:
        setting.book.add(NAME, "cancel to closed, p99", "ms", percentile(closed.values, 0.99))
    setting.book.goal(NAME, "cancel to closed, p99", "<=", 100)
    setting.book.goal(NAME, "lost to error", "<=", 10)
    setting.book.goal(NAME, "lost to taken over", "<=", 10)


def _start(setting: Setting, providers: Providers, stack: ExitStack) -> Child:
    worker = start_worker(setting.place, INVOKEQ, places=100, providers=providers)
    stack.callback(worker.stop)
    return worker


def _cancel(session: Session, notes: Any) -> float:
    """Cancel a call that has said one chunk; gives the ms until the vendor sees it closed."""
    invocation = session.model.llm.submit(scripted(chunks=10, hang_after=1), MESSAGES)
    next(iter(invocation))
    begun = time.perf_counter()
    invocation.cancel()
    wanted = f"{invocation.request_id} closed"
    _await(lambda: any(line.strip() == wanted for line in notes))
    return 1000 * (time.perf_counter() - begun)


def _lose(session: Session, workers: list[Child]) -> float:
    """Kill the worker of a call that has spoken; gives the seconds until its reader knows."""
    invocation = session.model.llm.submit(scripted(chunks=10, hang_after=1), MESSAGES)
    chunks = iter(invocation)
    next(chunks)
    begun = _kill(invocation, workers)
    try:
        next(chunks)
    except WorkerLostError:
        return time.perf_counter() - begun
    raise RuntimeError("a lost call went on")


def _take_over(session: Session, workers: list[Child]) -> float:
    """Kill the worker of a call that is silent yet; gives the seconds until another has it."""
    config = scripted(chunks=10, hang_after=0)
    invocation = session.model.llm.submit(config, MESSAGES, detached=True)
    _await(lambda: invocation.status().state == "running")
    begun = _kill(invocation, workers)
    _await(lambda: invocation.status().attempt > 1)
    taken = time.perf_counter() - begun
    invocation.cancel()
    return taken


def _kill(invocation: Any, workers: list[Child]) -> float:
    """End the worker that runs a call, as kill -9 does; its name has its process id in it."""
    pid = int(invocation.status().worker.rsplit(".", 2)[1])
    (worker,) = (worker for worker in workers if worker.pid == pid)
    workers.remove(worker)
    begun = time.perf_counter()
    worker.signal(signal.SIGKILL)
    return begun


def _await(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + SECONDS
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError("it did not happen")
        time.sleep(POLL_SECONDS)
