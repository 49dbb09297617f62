"""The directory of workers, read by clients: the queues of each worker and the models served.

Each worker has one entry in the directory hash, valid while the worker's lease lasts. The entry
points to a catalog: providers and models with facts, stored once under the content's digest.
"""

import hashlib
from typing import ClassVar, Final

from pydantic import BaseModel, ConfigDict, TypeAdapter

from invokeq.protocol.entities import AIModelEntity, ModelType

CATALOG_TTL: Final = 86_400
"""Seconds; workers refresh the TTL every minute, so a catalog outlives the last worker by a day."""


class _Wire(BaseModel):
    # `ignore`: a client must read the entries of newer workers, which may have more fields.
    model_config: ClassVar[ConfigDict] = ConfigDict(
        frozen=True, extra="ignore", protected_namespaces=()
    )


class ProviderEntry(_Wire):
    """One provider in a catalog; `any_model` says whether unlisted model names are accepted."""

    name: str
    any_model: bool = False
    model_types: list[ModelType] = []
    models: list[AIModelEntity] = []


class QueueBounds(_Wire):
    """The most invocations waiting in a lane, in all lanes of a queue, and of a tenant in a lane.

    0 means no bound.
    """

    lane: int = 100_000
    queue: int = 1_000_000
    tenant: int = 0


class Catalog(_Wire):
    """All providers of a pool, and the pool's LLM for summaries (`provider/model`)."""

    providers: list[ProviderEntry] = []
    summary_model: str | None = None
    bounds: QueueBounds = QueueBounds()

    def encode(self) -> tuple[str, bytes]:
        """Return the digest that names the catalog, and the catalog as JSON."""
        # Named by content: a thousand equal workers share one catalog, and a new one never changes.
        data = self.model_dump_json().encode()
        return hashlib.sha256(data).hexdigest()[:32], data


class WorkerEntry(_Wire):
    """One worker in the directory; `queues` are in the order of service."""

    v: int = 1
    name: str
    pool: str
    queues: list[str]
    catalog: str
    host: str
    pid: int
    concurrency: int
    running: int = 0


catalog_adapter: TypeAdapter[Catalog] = TypeAdapter(Catalog)
worker_entry_adapter: TypeAdapter[WorkerEntry] = TypeAdapter(WorkerEntry)
