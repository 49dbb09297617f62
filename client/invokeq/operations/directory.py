"""The directory of live workers: the models of each, and so the queue of a call."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError

from invokeq.operations.plan import Plan
from invokeq.protocol.directory import (
    Catalog,
    ProviderEntry,
    QueueBounds,
    WorkerEntry,
    catalog_adapter,
    worker_entry_adapter,
)
from invokeq.protocol.entities import AIModelEntity, ModelType
from invokeq.protocol.errors import (
    InvalidConfigurationError,
    InvokeqError,
    ModelNotFoundError,
    NoWorkerError,
    ProviderNotFoundError,
    UnknownVersionError,
)
from invokeq.protocol.names import canonical_provider
from invokeq.protocol.redis import keys
from invokeq.transport.batch import Batch

FRESH: Final = 1.0
"""Seconds until the directory is read again."""


NO_NEWS: Final = QueueBounds()
"""The bounds of workers without published bounds."""

NOBODY: Final = "no worker is alive; start one with `invokeq worker --pool NAME`"


@dataclass(frozen=True, slots=True)
class LiveWorker:
    """One worker with a valid lease, and the providers served there."""

    entry: WorkerEntry
    providers: dict[str, ProviderEntry]
    summary_model: str | None = None
    bounds: QueueBounds = NO_NEWS


class Directory:
    """The live workers, cached for a second; safe to share between threads."""

    def __init__(self) -> None:
        self._workers: tuple[LiveWorker, ...] = ()
        self._catalogs: dict[str, Catalog] = {}
        self._depths: dict[str, int] = {}
        self._queues: dict[tuple[ModelType, str, str], str] = {}
        self._bounds: dict[str, QueueBounds] = {}
        self._read_at = float("-inf")

    def workers(self) -> Plan[tuple[LiveWorker, ...]]:
        """Return the live workers. No round trip while fresh, else one; two for a new catalog."""
        if time.monotonic() - self._read_at < FRESH:
            return self._workers
        (clock, leases, entries) = yield Batch(
            [
                ("TIME",),
                ("ZRANGE", keys.LEASES, 0, -1, "WITHSCORES"),
                ("HGETALL", keys.DIRECTORY),
            ]
        )
        live = _live_entries(clock, leases, entries)
        # Catalogs are named by their digest and never change, so each is fetched once.
        missing = sorted({entry.catalog for entry in live} - self._catalogs.keys())
        if missing:
            replies = yield Batch([("GET", keys.catalog(digest)) for digest in missing])
            self._learn(dict(zip(missing, replies, strict=True)))
        self._workers = tuple(self._live_worker(entry) for entry in live)
        self._depths = _depths(entries)
        self._queues, self._bounds = {}, {}
        self._read_at = time.monotonic()
        return self._workers

    def summary_model(self) -> Plan[tuple[str, str]]:
        """Return provider and model for summaries; InvalidConfigurationError if there is none."""
        workers = yield from self.workers()
        for worker in workers:
            if worker.summary_model is not None:
                provider, _, model = worker.summary_model.rpartition("/")
                return provider, model
        if not workers:
            raise NoWorkerError(provider="(any)", model_type="llm", problem=NOBODY)
        raise InvalidConfigurationError(
            source="invokeq.toml of the workers",
            setting="system.summary_model",
            problem="names no model; summaries need one, such as openai/gpt-4o-mini",
        )

    def queue_for(self, model_type: ModelType, provider: str, model: str) -> Plan[str]:
        """Return the queue for a call; raise at once when no live worker can serve the call."""
        workers = yield from self.workers()
        asked = (model_type, provider, model)
        if asked not in self._queues:
            self._queues[asked] = choose_queue(workers, model_type, provider, model)
        return self._queues[asked]

    def bounds(self, queue: str) -> QueueBounds:
        """Return the strictest bounds among the workers of a queue, as last read."""
        if queue not in self._bounds:
            found = [w.bounds for w in self._workers if queue in w.entry.queues] or [NO_NEWS]
            self._bounds[queue] = QueueBounds(
                lane=_strictest(bounds.lane for bounds in found),
                queue=_strictest(bounds.queue for bounds in found),
                tenant=_strictest(bounds.tenant for bounds in found),
            )
        return self._bounds[queue]

    def depth(self, queue: str) -> int:
        """Return how many jobs wait in all lanes of a queue: the workers' count plus `count()`."""
        return self._depths.get(queue, 0)

    def count(self, queue: str, more: int = 1) -> None:
        """Add to the depth of a queue, until the directory is read the next time."""
        self._depths[queue] = self._depths.get(queue, 0) + more

    def forget(self) -> None:
        """Drop the cache: the next use reads the directory again."""
        self._read_at = float("-inf")

    def _learn(self, found: dict[str, bytes | None]) -> None:
        for digest, data in found.items():
            # An expired catalog counts as empty, and the next read asks for it again.
            if data is not None:
                self._catalogs[digest] = catalog_adapter.validate_json(data)

    def _live_worker(self, entry: WorkerEntry) -> LiveWorker:
        catalog = self._catalogs.get(entry.catalog, Catalog())
        providers = {provider.name: provider for provider in catalog.providers}
        return LiveWorker(entry, providers, catalog.summary_model, catalog.bounds)


def choose_queue(
    workers: tuple[LiveWorker, ...], model_type: ModelType, provider: str, model: str
) -> str:
    """Return the queue of the provider, else the queue of the model type, if a worker listens.

    Raises ProviderNotFoundError, ModelNotFoundError or NoWorkerError, each with the alternatives.
    """
    name = canonical_provider(provider)
    served = [worker for worker in workers if name in worker.providers]
    candidates = (f"{model_type.value}.{name}", model_type.value)
    listening = [
        (queue, worker)
        for queue in candidates
        for worker in served
        if queue in worker.entry.queues and model_type in worker.providers[name].model_types
    ]
    for queue, worker in listening:
        if _has_model(worker.providers[name], model_type, model):
            return queue
    raise _why_nobody(workers, served, bool(listening), model_type, provider, model)


def _has_model(provider: ProviderEntry, model_type: ModelType, model: str) -> bool:
    return provider.any_model or any(
        entity.model == model and entity.model_type == model_type for entity in provider.models
    )


def _why_nobody(
    workers: tuple[LiveWorker, ...],
    served: list[LiveWorker],
    listening: bool,
    model_type: ModelType,
    provider: str,
    model: str,
) -> InvokeqError:
    if not workers:
        return NoWorkerError(
            provider=provider, model=model, model_type=model_type.value, problem=NOBODY
        )
    if not served:
        known = sorted({name for worker in workers for name in worker.providers})
        return ProviderNotFoundError(
            provider=provider, model=model, known=", ".join(known) or "none"
        )
    if not listening:
        queues = sorted({queue for worker in workers for queue in worker.entry.queues})
        problem = f"live workers listen on {', '.join(queues)} only"
        return NoWorkerError(
            provider=provider, model=model, model_type=model_type.value, problem=problem
        )
    name = canonical_provider(provider)
    models = {
        e.model for w in served for e in w.providers[name].models if e.model_type == model_type
    }
    return ModelNotFoundError(
        provider=provider,
        model=model,
        model_type=model_type.value,
        known=", ".join(sorted(models)) or "none",
    )


def list_models(
    workers: tuple[LiveWorker, ...], model_type: ModelType | None = None
) -> list[tuple[str, AIModelEntity]]:
    """Return the models of live workers as (provider, model facts), each once, in order of name."""
    found = {
        (name, entity.model_type.value, entity.model): entity
        for worker in workers
        for name, provider in worker.providers.items()
        for entity in provider.models
        if model_type is None or entity.model_type == model_type
    }
    return [(key[0], found[key]) for key in sorted(found)]


def _live_entries(
    clock: list[bytes], leases: list[bytes], entries: list[bytes]
) -> list[WorkerEntry]:
    # Leases end by the server's clock, so a client whose clock is wrong still sees live workers.
    now = int(clock[0]) * 1000 + int(clock[1]) // 1000
    pairs = zip(leases[::2], leases[1::2], strict=True)
    alive = {name for name, until in pairs if float(until) > now}
    raw = dict(zip(entries[::2], entries[1::2], strict=True))
    return [_entry(raw[name]) for name in sorted(alive) if name in raw]


def _depths(entries: list[bytes]) -> dict[str, int]:
    start = keys.depth_field("").encode()
    pairs = zip(entries[::2], entries[1::2], strict=True)
    return {
        name.removeprefix(start).decode(): int(depth)
        for name, depth in pairs
        if name.startswith(start)
    }


def _strictest(limits: Iterable[int]) -> int:
    """Return the lowest bound; 0 is no bound."""
    return min((limit for limit in limits if limit), default=0)


def _entry(data: bytes) -> WorkerEntry:
    try:
        return worker_entry_adapter.validate_json(data)
    except ValidationError:
        raise UnknownVersionError(where="worker directory", version="?", supported=1) from None
