"""The time from a cancel to the vendor, and from the loss of a worker to its consequence."""

import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Final

from bench.peers.invokeq_client import MESSAGES, PLUGIN, scripted
from bench.peers.spread import percentile
from bench.setting import Setting
from bench.subjects.catalog import INVOKEQ
from bench.subjects.processes import Child
from bench.subjects.running import Providers, await_leases, start_worker
from invokeq import Session
from invokeq.errors import WorkerLostError

NAME: Final = "faults"
TITLE: Final = "Cancel to vendor's connection closed; kill -9 of a worker to takeover or error"
CANCELS: Final = 100
SECONDS: Final = 30.0
POLL_SECONDS: Final = 0.0005


def run(setting: Setting) -> None:
    """Cancel streams that wait for the vendor; kill workers before and after the first output."""
    setting.erase()
    journal = setting.workspace.directory / "vendor.journal"
    providers = {"scripted": {"journal_file": str(journal)}}
    with ExitStack() as stack:
        client = stack.enter_context(setting.workspace.connect())
        workers = [_start(setting, providers, stack) for _ in range(2)]
        await_leases(client, 2, workers[0])
        session = stack.enter_context(Session(PLUGIN, redis=setting.workspace.url))
        with journal.open() as notes:
            for _ in range(setting.sizes.of(CANCELS)):
                setting.table.add(NAME, "cancel to closed", "ms", _cancel(session, notes))
        for _ in range(setting.sizes.rounds):
            setting.table.add(NAME, "lost to error", "s", _lose(session, workers))
            workers.append(_start(setting, providers, stack))
            await_leases(client, 2, workers[-1])
            setting.table.add(NAME, "lost to taken over", "s", _take_over(session, workers))
            workers.append(_start(setting, providers, stack))
            await_leases(client, 2, workers[-1])
    closed = setting.table.find(NAME, "cancel to closed")
    if closed is not None:
        setting.table.add(NAME, "cancel to closed, p99", "ms", percentile(closed.values, 0.99))
    setting.table.goal(NAME, "cancel to closed, p99", "<=", 100)
    setting.table.goal(NAME, "lost to error", "<=", 10)
    setting.table.goal(NAME, "lost to taken over", "<=", 10)


def _start(setting: Setting, providers: Providers, stack: ExitStack) -> Child:
    worker = start_worker(setting.workspace, INVOKEQ, places=100, providers=providers)
    stack.callback(worker.stop)
    return worker


def _cancel(session: Session, notes: Any) -> float:
    """Cancel a call after one chunk; return the ms until the vendor sees the connection closed."""
    invocation = session.model.llm.submit(scripted(chunks=10, hang_after=1), MESSAGES)
    invocation_items = iter(invocation)
    next(invocation_items)
    begun = time.perf_counter()
    invocation.cancel()
    wanted = f"{invocation.request_id} closed"
    _await(lambda: any(line.strip() == wanted for line in notes))
    return 1000 * (time.perf_counter() - begun)


def _lose(session: Session, workers: list[Child]) -> float:
    """Kill the worker of a call after its first output; return the seconds until the error."""
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
    """Kill the worker of a call before its first output; return the seconds until takeover."""
    config = scripted(chunks=10, hang_after=0)
    invocation = session.model.llm.submit(config, MESSAGES, detached=True)
    _await(lambda: invocation.status().state == "running")
    begun = _kill(invocation, workers)
    _await(lambda: invocation.status().attempt > 1)
    taken = time.perf_counter() - begun
    invocation.cancel()
    return taken


def _kill(invocation: Any, workers: list[Child]) -> float:
    """Kill the worker that runs a call, found by the process id in the worker's name."""
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
