"""What workers tell clients about themselves: where they listen, and what they serve.

Each worker has one entry in the directory hash, valid while its lease lasts, and points to a
catalog: the providers and models with their facts, stored once under the digest of its content.
"""

import hashlib
from typing import ClassVar, Final

from pydantic import BaseModel, ConfigDict, TypeAdapter

from invokeq.protocol.entities import AIModelEntity, ModelType

CATALOG_TTL: Final = 86_400
"""Seconds; workers refresh it every minute, so a catalog outlives its last worker by a day."""


class _Wire(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(
        frozen=True, extra="ignore", protected_namespaces=()
    )


class ProviderEntry(_Wire):
    """One provider in a catalog; with `any_model` it takes model names that are not listed."""

    name: str
    any_model: bool = False
    model_types: list[ModelType] = []
    models: list[AIModelEntity] = []


class QueueBounds(_Wire):
    """How many invocations may wait: in a lane, in all lanes of a queue, and of a tenant in a lane.

    0 is no bound.
    """

    lane: int = 100_000
    queue: int = 1_000_000
    tenant: int = 0


class Catalog(_Wire):
    """All providers that a pool serves, and which LLM (`provider/model`) summarises there."""

    providers: list[ProviderEntry] = []
    summary_model: str | None = None
    bounds: QueueBounds = QueueBounds()

    def encode(self) -> tuple[str, bytes]:
        """Return the digest that names the catalog, and the catalog as JSON."""
        data = self.model_dump_json().encode()
        return hashlib.sha256(data).hexdigest()[:32], data


class WorkerEntry(_Wire):
    """One worker in the directory; `queues` in the order in which it serves them."""

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
