"""The thread that keeps open handles alive, and cancels what was dropped.

Internal: may change without notice.

One daemon thread a transport, over one connection of its own. The thread starts with the first
handle that waits for its caller, and ends when no handle is open. Neither a busy caller nor a
blocked event loop stops the thread; it dies with the process, and then the leases lapse. What was
left is cancelled here and not by the finalizer or the task that left: the garbage collector may run
anywhere, and a cancel scope would cancel the clean-up.
"""

import atexit
import contextlib
import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, Final, NamedTuple
from weakref import WeakKeyDictionary, WeakSet

from invokeq.hold import Hold
from invokeq.operations import control
from invokeq.operations.enqueue import PendingJob, withdraw_or_cancel
from invokeq.operations.plan import Plan, gather_plans
from invokeq.protocol.errors import InvokeqError
from invokeq.transport.aio import AsyncTransport
from invokeq.transport.blocking import BaseTransport, Transport

GROUP: Final = 256
"""Renewals or cancels in one round trip."""

EXIT_SECONDS: Final = 5.0
"""Seconds that the interpreter's exit, or a close, waits for Redis to take the cancels."""

IDLE_SECONDS: Final = 1.0
"""Seconds without an open handle after which the thread ends."""


class _Task(NamedTuple):
    """A plan for the thread; `done` is set when it has been tried."""

    plan: Callable[[], Plan[Any]]
    done: "Future[None]"


class Keeper:
    """Renews the leases of open handles, and cancels those that were left."""

    def __init__(self, connect: Callable[[], Transport]) -> None:
        self._connect = connect
        self._transport: Transport | None = None
        self._holds: dict[Hold, None] = {}
        # A finalizer may run in the middle of a `put` of the same thread: this queue allows that.
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._pid = os.getpid()
        _keepers.add(self)

    def keep(self, hold: Hold) -> None:
        """Renew the lease of a hold until it is left or has ended."""
        if hold.is_open:
            self._check_fork()
            self._holds[hold] = None
            self._start()

    def forget(self, hold: Hold) -> None:
        """Renew no more."""
        self._holds.pop(hold, None)

    def drop(self, hold: Hold) -> "Future[None] | None":
        """Cancel a hold that was dropped, soon; safe in a finalizer."""
        self._holds.pop(hold, None)
        return self._send(hold) if hold.drop() else None

    def leave(self, hold: Hold) -> "Future[None] | None":
        """Cancel a hold that was left; the future is done when Redis has been told."""
        self._holds.pop(hold, None)
        if not hold.leave():
            return None
        future = self._send(hold)
        self._start()
        return future

    def withdraw(self, jobs: Iterable[PendingJob]) -> None:
        """Take back jobs whose submission was interrupted."""
        self._check_fork()
        for job in jobs:
            self._tasks.put(_Task(lambda job=job: withdraw_or_cancel(job), Future()))
        self._start()

    def leave_all(self) -> "list[Future[None]]":
        """Leave all holds; the futures are done when Redis has been told."""
        futures = [self.drop(hold) for hold in list(self._holds)]
        if any(futures):
            self._start()
        return [future for future in futures if future is not None]

    def finish(self, seconds: float = EXIT_SECONDS) -> None:
        """Leave all holds, and wait for the thread to end; bounded."""
        if self._pid != os.getpid():
            return  # forked: both the thread and what it holds are the parent's
        self.leave_all()
        thread = self._thread
        if thread is not None:
            self._tasks.put(None)
            thread.join(seconds)

    def _send(self, hold: Hold) -> "Future[None]":
        request_id = hold.reader.request_id
        task = _Task(lambda: control.cancel(request_id), Future())
        self._tasks.put(task)
        return task.done

    def _check_fork(self) -> None:
        if self._pid != os.getpid():
            # Forked: thread, sockets and locks are the parent's.
            self._pid, self._thread, self._transport = os.getpid(), None, None
            self._holds, self._tasks, self._starting = {}, SimpleQueue(), threading.Lock()

    def _start(self) -> None:
        if self._thread is not None:
            return
        with self._starting:
            if self._thread is None:
                name = "invokeq-keeper"
                self._thread = threading.Thread(target=self._work, name=name, daemon=True)
                self._thread.start()

    def _work(self) -> None:
        """Run tasks as they come, and renew what is due in between."""
        while True:
            tasks, stopping = self._take_tasks()
            self._run_tasks(tasks)
            if not stopping:
                self.renew_due()
            if (stopping or not (tasks or self._holds)) and self._ends(stopping):
                return

    def _take_tasks(self) -> tuple[list[_Task], bool]:
        """Wait for a task, at most until a lease may be due; return all tasks that are there."""
        found: list[_Task] = []
        lives = [hold.reader.lease_seconds for hold in list(self._holds)]
        # Leases are due after a third of their life: a sixth on, there is still half of it left.
        wait = min(lives) / 6 if lives else IDLE_SECONDS
        with contextlib.suppress(Empty):
            task = self._tasks.get(timeout=wait)
            while task is not None and len(found) < GROUP:
                found.append(task)
                task = self._tasks.get_nowait()
            if task is None:
                return found, True
            found.append(task)
        return found, False

    def _ends(self, stopping: bool) -> bool:
        with self._starting:
            self._thread = None
            # Race: a hold or a task may have come since, from a thread that still saw this one.
            if (self._holds or not self._tasks.empty()) and not stopping:
                self._thread = threading.current_thread()
                return False
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()
        return True

    def _run_tasks(self, tasks: list[_Task]) -> None:
        if not tasks:
            return
        try:
            self._run([task.plan() for task in tasks])
        finally:
            for task in tasks:
                if task.done.set_running_or_notify_cancel():
                    task.done.set_result(None)

    def renew_due(self) -> None:
        """Renew the leases that are due and that no caller is about to renew: one round trip."""
        due: list[Hold] = []
        for hold in list(self._holds):
            if not hold.is_open:
                self.forget(hold)
            elif hold.try_renewing():
                due.append(hold)
        for at in range(0, len(due), GROUP):
            group = due[at : at + GROUP]
            renewed = False
            try:
                renewed = self._run([hold.reader.renew_unread() for hold in group])
            finally:
                for hold in group:
                    if not renewed:
                        hold.reader.missed_renewal()
                    hold.release()

    def _run(self, plans: list[Plan[Any]]) -> bool:
        """Run plans together; return False where Redis cannot be reached or refuses."""
        if self._transport is None:
            self._transport = self._connect()
        try:
            self._transport.run(gather_plans(plans))
        except InvokeqError:
            return False  # the leases lapse, and that cancels; a renewal is tried again
        return True


class DirectKeeper(Keeper):
    """Cancels at once, without a thread: for transports that need no network."""

    def _start(self) -> None:
        self._run_now()

    def _send(self, hold: Hold) -> "Future[None]":
        future = super()._send(hold)
        self._run_now()
        return future

    def _run_now(self) -> None:
        while not self._tasks.empty():
            task = self._tasks.get_nowait()
            if task is not None:
                self._run_tasks([task])


_keepers: WeakSet[Keeper] = WeakSet()
_by_transport: WeakKeyDictionary[BaseTransport, Keeper] = WeakKeyDictionary()


def keeper_of(transport: Transport | AsyncTransport) -> Keeper:
    """Return the keeper of a transport; all sessions that share the transport share it."""
    keeper = _by_transport.get(transport)
    if keeper is None:
        kind = DirectKeeper if transport.in_memory else Keeper
        keeper = _by_transport.setdefault(transport, kind(transport.blocking_twin()))
    return keeper


@atexit.register
def _finish_all() -> None:
    """Cancel what is open when the interpreter exits."""
    for keeper in list(_keepers):
        keeper.finish()
