"""Real worker processes for tests: started from a real invokeq.toml, ended by pid."""

import os
import signal
import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from invokeq.protocol.redis import keys
from invokeq.transport.connect import make_client
from tests.support.waiting import START_SECONDS, eventually

STOP_SECONDS = 60.0
"""Longer than the grace time of any test, also on a busy machine."""


@dataclass(frozen=True, slots=True)
class WorkerProcess:
    """One running worker; `log` holds the output, `journal` the events of the scripted vendor."""

    process: subprocess.Popen[bytes]
    name: str
    log: Path
    journal: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(STOP_SECONDS)

    def vendor_events(self, request_id: str) -> list[str]:
        """Return the scripted vendor's events of one call, oldest first."""
        if not self.journal.exists():
            return []
        lines = [line.split(" ", 1) for line in self.journal.read_text().splitlines()]
        return [event for noted, event in lines if noted == request_id]


def write_config(
    path: Path,
    url: str,
    *,
    providers: Mapping[str, Mapping[str, Any]],
    queues: Sequence[str] = ("llm",),
    concurrency: int = 500,
    limits: Mapping[str, float] | None = None,
    trusted: Sequence[str] = (),
    summary_model: str | None = None,
    more: str = "",
) -> Path:
    """Write an invokeq.toml with one pool called `main`; append `more` unchanged."""
    lines = ["[redis]", f'url = "{url}"', "[pools.main]"]
    lines += [f"queues = {list(queues)!r}", f"concurrency = {concurrency}"]
    lines += ["[limits]", *(f"{name} = {value}" for name, value in (limits or {}).items())]
    lines += [f"[plugins.{name}]\ntrusted = true" for name in trusted]
    if summary_model:
        lines += ["[system]", f'summary_model = "{summary_model}"']
    for name, options in providers.items():
        lines.append(f"[providers.{name}]")
        lines += [f"{key} = {_toml(value)}" for key, value in options.items()]
    path.write_text("\n".join([*lines, more]) + "\n")
    return path


@contextmanager
def running_worker(
    url: str,
    directory: Path,
    *,
    name: str = "w1",
    providers: Mapping[str, Mapping[str, Any]] | None = None,
    env: Mapping[str, str] | None = None,
    program: Sequence[str] = ("-m", "invokeq_worker"),
    **config: Any,
) -> Generator[WorkerProcess]:
    """Run one worker, with the scripted vendor or `providers`; wait until the lease exists."""
    journal = directory / f"{name}.journal"
    tables = providers or {"scripted": {"type": "scripted", "journal_file": str(journal)}}
    path = write_config(directory / f"{name}.toml", url, providers=tables, **config)
    log = directory / f"{name}.log"
    command = [sys.executable, *program, "--pool", "main", "--name", name]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--config", str(path)],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
        )
    worker = WorkerProcess(process, name, log, journal)
    try:
        await_worker(url, worker)
        yield worker
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.kill()
        process.wait(STOP_SECONDS)


def await_worker(url: str, worker: WorkerProcess) -> None:
    """Wait until a worker has its lease; fail with the worker's output if the process ends."""
    with make_client(url, 5.0) as client:

        def leased() -> bool:
            assert worker.process.poll() is None, worker.log.read_text()
            return client.zscore(keys.LEASES, worker.name) is not None

        eventually(f"worker {worker.name} is there", leased, within=START_SECONDS)


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, int | float) else f'"{value}"'
