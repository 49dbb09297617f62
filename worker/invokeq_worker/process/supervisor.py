"""Start, restart and end worker processes.

- Status 0 means an end by a signal or by RQ's shutdown command: no restart.
- Any other end is a death. A restart follows, with backoff (see `restarts`).
- SIGTERM and SIGINT are passed on. Processes are killed after the grace time.
- Worker processes end with the supervisor, even after kill -9 (Linux only).
"""

import asyncio
import contextlib
import os
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from invokeq.protocol.errors import ConfigurationError, InvokeqError
from invokeq_worker.config.settings import Settings
from invokeq_worker.process.restarts import Finished, GiveUp, History, RestartPolicy, decide_restart

KILL_MARGIN: Final = 10.0
"""Seconds on top of the workers' grace time, for requeueing and deregistering."""

HURRY: Final = 5.0
"""Seconds from a second signal to SIGKILL; a third signal kills at once."""

_CANNOT_RUN: Final = 127
"""The shell's status for an unknown command."""

DEFAULT_POLICY: Final = RestartPolicy()

log: Final = structlog.get_logger(__name__)


class WorkerStartError(ConfigurationError):
    """Worker process `worker` ended with `status` after each of `attempts` starts."""

    code = "worker_start"
    template = (
        "Worker process {worker} does not start: {attempts} of {attempts} times it ended with"
        " status {status}; its own last lines say why"
    )

    worker: str
    attempts: int
    status: int


@dataclass(frozen=True, slots=True)
class Child:
    """One place in a pool; `command(n)` returns the command line of the n-th start, from 1."""

    name: str
    command: Callable[[int], Sequence[str]]


class Supervisor:
    """Runs the processes of `children` until all end, a signal comes, or one cannot be started.

    `grace` is the number of seconds between a signal and SIGKILL; `clock` measures lives.
    """

    def __init__(
        self,
        children: Sequence[Child],
        grace: float,
        *,
        env: Mapping[str, str] = os.environ,
        policy: RestartPolicy = DEFAULT_POLICY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._children = children
        self._grace = grace
        self._env = env
        self._policy = policy
        self._clock = clock
        self._stopping = asyncio.Event()
        self._signals = 0
        self._running: dict[str, Process] = {}
        self._killed = False
        self._failure: InvokeqError | None = None

    @property
    def size(self) -> int:
        """The wanted number of processes."""
        return len(self._children)

    @property
    def pids(self) -> set[int]:
        """The ids of the running processes."""
        return {process.pid for process in self._running.values()}

    async def run(self) -> int:
        """Return 0 once all processes have ended in time, 1 if one had to be killed.

        Raises WorkerStartError, or the error of `fail`.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal, number)
        try:
            async with asyncio.TaskGroup() as group:
                for child in self._children:
                    group.create_task(self._keep(child))
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)
        if self._failure is not None:
            raise self._failure
        return int(self._killed)

    def fail(self, error: InvokeqError) -> None:
        """End all processes, then have `run` raise `error`."""
        self._failure = self._failure or error
        if not self._stopping.is_set():
            self._stop(signal.SIGTERM)

    async def _keep(self, child: Child) -> None:
        """Keep a process in one place of the pool, until `stop`."""
        history, start = History(), 0
        while not self._stopping.is_set():
            start += 1
            began = self._clock()
            status = await self._run_once(child, start)
            if self._stopping.is_set():
                return
            lived, others_live = self._clock() - began, bool(self._running)
            match decide_restart(self._policy, history, lived, status, others_live):
                case Finished():
                    log.info("process finished", process=child.name)
                    return
                case GiveUp(attempts):
                    self.fail(WorkerStartError(worker=child.name, attempts=attempts, status=status))
                case restart:
                    log.warning(
                        "process died", process=child.name, status=status, restart_in=restart.delay
                    )
                    history = restart.history
                    await self._pause(restart.delay)

    async def _run_once(self, child: Child, start: int) -> int:
        """Run a process to the end; return the status, or minus the killing signal."""
        try:
            process = await asyncio.create_subprocess_exec(
                *child.command(start),
                env=self._env,
                stdin=DEVNULL,
                process_group=0,  # a terminal sends Ctrl-C to its whole group
            )
        except OSError as error:
            log.warning("process start failed", process=child.name, problem=str(error))
            return _CANNOT_RUN
        log.info("process started", process=child.name, pid=process.pid, start=start)
        self._running[child.name] = process
        # The signal may have come during the start, before the process was listed.
        if self._stopping.is_set():
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        try:
            return await process.wait()
        finally:
            del self._running[child.name]

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return

    def _on_signal(self, number: signal.Signals) -> None:
        self._signals += 1
        log.info("stopping", signal=number.name, processes=len(self._running))
        self._stop(number)

    def _stop(self, number: signal.Signals) -> None:
        """Pass a signal on and bound the wait, which is shorter with each signal."""
        patience = (self._grace, HURRY, 0.0)[min(max(self._signals, 1), 3) - 1]
        self._stopping.set()
        for process in self._running.values():
            with contextlib.suppress(ProcessLookupError):  # the process ended a moment ago
                process.send_signal(number)
        asyncio.get_running_loop().call_later(patience, self._kill)

    def _kill(self) -> None:
        for name, process in self._running.items():
            with contextlib.suppress(ProcessLookupError):
                process.kill()
                self._killed = True
                log.warning("process killed", process=name, pid=process.pid)


def pool_children(
    settings: Settings,
    pool: str,
    processes: int,
    config: Path | None,
    *,
    death_signal: signal.Signals = signal.SIGTERM,
    name: str | None = None,
    burst: bool = False,
) -> list[Child]:
    """Return the worker processes of one pool; with `name`, workers are called `<name>.<n>`."""
    settings.pool(pool)
    base = [sys.executable, "-m", "invokeq_worker", "--pool", pool]
    base += ["--parent", str(os.getpid()), "--death-signal", str(int(death_signal))]
    base += ["--config", str(config)] if config else []
    base += ["--burst"] if burst else []
    return [
        Child(f"{pool}.{n}", _command(base, name and f"{name}.{n}"))
        for n in range(1, processes + 1)
    ]


def grace_of(settings: Settings) -> float:
    """Return how many seconds worker processes have to end after a signal."""
    return settings.limits.shutdown_grace + KILL_MARGIN


def _command(base: list[str], name: str | None) -> Callable[[int], list[str]]:
    def command(start: int) -> list[str]:
        if name is None:
            return base
        # RQ refuses a name while the record of a dead worker lives, so each start has its own name.
        return [*base, "--name", name if start == 1 else f"{name}.{start}"]

    return command


def supervise(
    settings: Settings,
    pool: str,
    processes: int,
    config_path: Path | None = None,
    *,
    name: str | None = None,
    burst: bool = False,
) -> int:
    """Run `processes` worker processes of a pool and return the exit code.

    Raises WorkerStartError.
    """
    children = pool_children(settings, pool, processes, config_path, name=name, burst=burst)
    return asyncio.run(Supervisor(children, grace_of(settings)).run())
