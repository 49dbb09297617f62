"""A subject at work: its worker and its client, each a process, on the server of the run."""

import sys
import time
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import redis

from bench.catalog import INVOKEQ, Subject
from bench.environments import ROOT, bin_directory
from bench.processes import Child
from invokeq.protocol.redis import keys

READY_SECONDS: Final = 40.0
POLL_SECONDS: Final = 0.002
DONE: Final = "bench:done"
LANE: Final = "llm:bench"

Providers = Mapping[str, Mapping[str, Any]]


@dataclass(slots=True)
class Place:
    """Where subjects run: the server, and a folder for configurations and logs."""

    url: str
    directory: Path
    limits: Mapping[str, float] = field(default_factory=dict[str, float])
    _numbers: Generator[int] = field(default_factory=lambda: (n for n in range(1_000_000)))

    def connect(self) -> Any:
        """Open a client of the server."""
        return redis.Redis.from_url(self.url, protocol=2)

    def number(self) -> int:
        """Give a number that no other start has."""
        return next(self._numbers)


@dataclass(slots=True)
class Running:
    """A worker that is up, and a client that has had its first answer."""

    subject: Subject
    worker: Child
    client: Child
    redis: Any

    @property
    def name(self) -> str:
        return self.subject.name

    def ask(self, do: str, *, within: float = 60.0, **arguments: Any) -> Any:
        """Send the client a command."""
        return self.client.ask(do, within=within, **arguments)

    def finished(self) -> int:
        """Count the jobs that are done: by RQ's books for ours, by their own word for the peers."""
        if self.subject is INVOKEQ:
            return int(self.redis.zcard(keys.registry("finished", LANE)))
        return int(self.redis.get(DONE) or 0)


@contextmanager
def running(
    place: Place, subject: Subject, *, places: int, providers: Providers | None = None
) -> Generator[Running]:
    """Run a subject; `places` is how many jobs its worker may run at once."""
    with ExitStack() as stack:
        worker = start_worker(place, subject, places=places, providers=providers)
        stack.callback(worker.stop)
        client = start_client(place, subject)
        stack.callback(client.stop)
        connection = stack.enter_context(place.connect())
        if subject is INVOKEQ:
            await_leases(connection, 1, worker)
        client.ask("open", within=READY_SECONDS)
        client.ask("latency", times=1, within=READY_SECONDS)
        yield Running(subject, worker, client, connection)


def start_worker(
    place: Place,
    subject: Subject,
    *,
    places: int,
    processes: int = 1,
    providers: Providers | None = None,
) -> Child:
    """Start the worker of a subject."""
    config = place.directory / f"invokeq-{place.number()}.toml"
    if subject is INVOKEQ:
        config.write_text(_toml(place, places, providers or {"scripted": {}}))
    fill = {
        "bin": str(bin_directory(subject.environment)),
        "url": place.url,
        "few": str(places),
        "queue": _queue(subject),
        "config": str(config),
    }
    command = [word.format(**fill) for word in subject.worker]
    if processes > 1:
        cli = [sys.executable, "-m", "invokeq.cli", "worker", "--pool", "main"]
        command = [*cli, "--config", str(config), "--processes", str(processes)]
    log = place.directory / f"{subject.name}.log"
    return Child(f"{subject.name} worker", command, log, _environment(place, subject, places))


def start_client(place: Place, subject: Subject) -> Child:
    """Start the client of a subject."""
    python = str(bin_directory(subject.environment) / "python")
    command = [python, "-m", subject.client]
    log = place.directory / f"{subject.name}.client.log"
    return Child(
        f"{subject.name} client", command, log, _environment(place, subject, 100), talks=True
    )


def start_helper(place: Place, module: str, *arguments: str) -> Child:
    """Start another module of the bench that talks."""
    command = [sys.executable, "-m", module, *arguments]
    log = place.directory / f"{module}.log"
    return Child(module, command, log, _environment(place, None, 100), talks=True)


def await_leases(connection: Any, count: int, worker: Child) -> None:
    """Wait until `count` workers of ours have signed on."""
    until = time.monotonic() + READY_SECONDS
    while connection.zcard(keys.LEASES) < count:
        if not worker.alive or time.monotonic() > until:
            raise RuntimeError(f"{worker.name} does not start: see {worker.log}")
        time.sleep(0.02)


def await_count(count: Any, wanted: int, seconds: float) -> float:
    """Wait until `count()` has reached `wanted`; gives the time of `perf_counter`."""
    until = time.perf_counter() + seconds
    while count() < wanted:
        if time.perf_counter() > until:
            raise TimeoutError(f"{count()} of {wanted} after {seconds:g} s")
        time.sleep(POLL_SECONDS)
    return time.perf_counter()


def _queue(subject: Subject | None) -> str:
    """Name a subject's queue; rq's two workers are up at once, and each wants its own."""
    return subject.name.replace(" ", "-").lower() if subject is not None else "bench"


def _environment(place: Place, subject: Subject | None, places: int) -> dict[str, str]:
    return {
        "BENCH_REDIS_URL": place.url,
        "BENCH_QUEUE": _queue(subject),
        "BENCH_CONCURRENCY": str(places),
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _toml(place: Place, places: int, providers: Providers) -> str:
    lines = ["[redis]", f'url = "{place.url}"']
    lines += ["[pools.main]", 'queues = ["llm", "text-embedding"]', f"concurrency = {places}"]
    lines += ["[limits]", "shutdown_grace = 1.0"]
    lines += [f"{name} = {value}" for name, value in place.limits.items()]
    lines += ["[log]", 'level = "warning"']
    for name, options in providers.items():
        lines += [f"[providers.{name}]", *(f'{key} = "{value}"' for key, value in options.items())]
    return "\n".join(lines) + "\n"
