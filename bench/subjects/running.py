"""A running subject: a worker process and a client process on the server of the run."""

import sys
import time
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import redis

from bench.subjects.catalog import INVOKEQ, Subject
from bench.subjects.environments import ROOT, bin_directory
from bench.subjects.processes import Child
from invokeq.protocol.redis import keys

READY_SECONDS: Final = 40.0
POLL_SECONDS: Final = 0.002
DONE: Final = "bench:done"
LANE: Final = "llm:bench"

Providers = Mapping[str, Mapping[str, Any]]


@dataclass(slots=True)
class Workspace:
    """The server of the run, and a folder for configurations and logs."""

    url: str
    directory: Path
    limits: Mapping[str, float] = field(default_factory=dict[str, float])
    _numbers: Generator[int] = field(default_factory=lambda: (n for n in range(1_000_000)))

    def connect(self) -> Any:
        """Open a client of the server; the caller closes the client."""
        return redis.Redis.from_url(self.url, protocol=2)

    def number(self) -> int:
        """Return the next number of a start."""
        return next(self._numbers)


@dataclass(slots=True)
class Running:
    """A ready worker, and a client after the first answer."""

    subject: Subject
    worker: Child
    client: Child
    redis: Any

    @property
    def name(self) -> str:
        return self.subject.name

    def ask(self, do: str, *, within: float = 60.0, **arguments: Any) -> Any:
        """Send a command to the client; return the answer."""
        return self.client.ask(do, within=within, **arguments)

    def finished(self) -> int:
        """Return the number of finished jobs, by RQ's registry or by the peers' counter."""
        if self.subject is INVOKEQ:
            return int(self.redis.zcard(keys.registry("finished", LANE)))
        return int(self.redis.get(DONE) or 0)


@contextmanager
def running(
    workspace: Workspace, subject: Subject, *, places: int, providers: Providers | None = None
) -> Generator[Running]:
    """Run a subject until the block ends; `places` is the concurrency of the worker."""
    with ExitStack() as stack:
        worker = start_worker(workspace, subject, places=places, providers=providers)
        stack.callback(worker.stop)
        client = start_client(workspace, subject)
        stack.callback(client.stop)
        connection = stack.enter_context(workspace.connect())
        if subject is INVOKEQ:
            await_leases(connection, 1, worker)
        client.ask("open", within=READY_SECONDS)
        client.ask("latency", times=1, within=READY_SECONDS)
        yield Running(subject, worker, client, connection)


def start_worker(
    workspace: Workspace,
    subject: Subject,
    *,
    places: int,
    processes: int = 1,
    providers: Providers | None = None,
) -> Child:
    """Start the worker of a subject."""
    config = workspace.directory / f"invokeq-{workspace.number()}.toml"
    if subject is INVOKEQ:
        config.write_text(_toml(workspace, places, providers or {"scripted": {}}))
    fill = {
        "bin": str(bin_directory(subject.environment)),
        "url": workspace.url,
        "few": str(places),
        "queue": _queue(subject),
        "config": str(config),
    }
    command = [word.format(**fill) for word in subject.worker]
    if processes > 1:
        cli = [sys.executable, "-m", "invokeq.cli", "worker", "--pool", "main"]
        command = [*cli, "--config", str(config), "--processes", str(processes)]
    log = workspace.directory / f"{subject.name}.log"
    return Child(f"{subject.name} worker", command, log, _environment(workspace, subject, places))


def start_client(workspace: Workspace, subject: Subject) -> Child:
    """Start the client of a subject."""
    python = str(bin_directory(subject.environment) / "python")
    command = [python, "-m", subject.client]
    log = workspace.directory / f"{subject.name}.client.log"
    return Child(
        f"{subject.name} client", command, log, _environment(workspace, subject, 100), talks=True
    )


def start_helper(workspace: Workspace, module: str, *arguments: str) -> Child:
    """Start another module of the bench as a server of commands."""
    command = [sys.executable, "-m", module, *arguments]
    log = workspace.directory / f"{module}.log"
    return Child(module, command, log, _environment(workspace, None, 100), talks=True)


def await_leases(connection: Any, count: int, worker: Child) -> None:
    """Wait until `count` workers of invokeq have their leases."""
    until = time.monotonic() + READY_SECONDS
    while connection.zcard(keys.LEASES) < count:
        if not worker.alive or time.monotonic() > until:
            raise RuntimeError(f"{worker.name} does not start: see {worker.log}")
        time.sleep(0.02)


def await_count(count: Any, wanted: int, seconds: float) -> float:
    """Wait until `count()` has reached `wanted`; return the time of `perf_counter`."""
    until = time.perf_counter() + seconds
    while count() < wanted:
        if time.perf_counter() > until:
            raise TimeoutError(f"{count()} of {wanted} after {seconds:g} s")
        time.sleep(POLL_SECONDS)
    return time.perf_counter()


def _queue(subject: Subject | None) -> str:
    """Return the queue of a subject; rq's two workers run at once, each on its own queue."""
    return subject.name.replace(" ", "-").lower() if subject is not None else "bench"


def _environment(workspace: Workspace, subject: Subject | None, places: int) -> dict[str, str]:
    return {
        "BENCH_REDIS_URL": workspace.url,
        "BENCH_QUEUE": _queue(subject),
        "BENCH_CONCURRENCY": str(places),
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _toml(workspace: Workspace, places: int, providers: Providers) -> str:
    lines = ["[redis]", f'url = "{workspace.url}"']
    lines += ["[pools.main]", 'queues = ["llm", "text-embedding"]', f"concurrency = {places}"]
    lines += ["[limits]", "shutdown_grace = 1.0"]
    lines += [f"{name} = {value}" for name, value in workspace.limits.items()]
    lines += ["[log]", 'level = "warning"']
    for name, options in providers.items():
        lines += [f"[providers.{name}]", *(f'{key} = "{value}"' for key, value in options.items())]
    return "\n".join(lines) + "\n"
