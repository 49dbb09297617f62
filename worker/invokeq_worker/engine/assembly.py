"""Build the parts of a worker from the settings, and wire the parts.

An invocation passes Claimer, Run and Writer. Heartbeat, Readers, Reaper and Commands work in the
background.
"""

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from redis.asyncio import ConnectionPool
from redis.asyncio import Redis as AsyncRedis

from invokeq.protocol.directory import Catalog, ProviderEntry, WorkerEntry
from invokeq.transport.connect import open_connection
from invokeq.transport.connection import RedisConnection
from invokeq_providers.base import Provider
from invokeq_worker.attempts.context import BodyFetcher, RunContext
from invokeq_worker.attempts.finalize import Finalizer
from invokeq_worker.config.settings import Settings
from invokeq_worker.config.values import Retention
from invokeq_worker.engine.claimer import Claimer, Slots
from invokeq_worker.engine.commands import Commands
from invokeq_worker.engine.heartbeat import Heartbeat
from invokeq_worker.engine.readers import Readers
from invokeq_worker.engine.reaper import Reaper
from invokeq_worker.engine.reconcile import Reconciler
from invokeq_worker.engine.runs import ActiveRuns
from invokeq_worker.redis.scripts import Claimed
from invokeq_worker.streams.writer import Writer


class Connections(NamedTuple):
    """A worker's connections to Redis: one for each task."""

    claims: RedisConnection
    writes: RedisConnection
    heartbeats: RedisConnection
    bodies: RedisConnection
    leases: RedisConnection

    @classmethod
    def open(cls, pool: ConnectionPool) -> Self:
        """Return connections by the settings of a pool; each connects when first used."""
        return cls(*(open_connection(pool) for _ in cls._fields))

    async def close(self) -> None:
        """Close all connections."""
        for connection in self:
            await connection.close()


@dataclass(frozen=True, slots=True)
class WorkerSetup:
    """The input of `assemble`; `pool` is the name of a table in the settings."""

    settings: Settings
    pool: str
    name: str
    queues: list[str]
    providers: Mapping[str, Provider]
    connections: Connections
    redis: AsyncRedis


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a worker."""

    writer: Writer
    readers: Readers
    runs: ActiveRuns
    claimer: Claimer
    commands: Commands


def assemble(
    setup: WorkerSetup,
    announce_lane: Callable[[str], None],
    on_command: Callable[[dict[str, Any]], None],
) -> Parts:
    """Build all parts but the heartbeat, which needs running providers.

    `announce_lane` is called with the lane of each job, `on_command` with each of RQ's commands.
    """
    limits, connections = setup.settings.limits, setup.connections
    writer = Writer(connections.writes, setup.name, limits.window, limits.redis_retention)
    readers = Readers(connections.leases, writer.lost.set, limits.redis_retention)
    reconciler = Reconciler(connections.heartbeats, setup.name, writer, limits.queue_ttl)
    finalizer = Finalizer(setup.name, writer, _retention(setup.settings), reconciler.release)
    slots = Slots(setup.settings.pools[setup.pool].concurrency)

    def on_start(job: Claimed) -> None:
        announce_lane(job.lane)
        reconciler.hold(job)

    runs = ActiveRuns(
        _run_context(setup, writer, finalizer, readers), on_start, on_end=slots.release
    )
    return Parts(
        writer=writer,
        readers=readers,
        runs=runs,
        claimer=Claimer(
            connections.claims,
            setup.name,
            setup.queues,
            slots,
            runs.start,
            reconciler.reconcile,
        ),
        commands=Commands(setup.redis, setup.name, runs.cancel, on_command),
    )


def build_heartbeat(setup: WorkerSetup, parts: Parts, worker_ttl: int) -> Heartbeat:
    """Build the heartbeat once the providers run: a hosted plugin describes some models then."""
    settings, connection = setup.settings, setup.connections.heartbeats
    retention, attempts = _retention(settings), settings.limits.max_attempts
    catalog = _catalog(setup).encode()
    return Heartbeat(
        connection,
        _entry(setup, catalog[0]),
        catalog,
        worker_ttl,
        parts.runs.by_id,
        parts.claimer,
        parts.readers,
        # The heartbeat's task reaps, so that both may use the one connection.
        Reaper(connection, setup.name, retention, attempts).reap,
    )


def _run_context(
    setup: WorkerSetup, writer: Writer, finalizer: Finalizer, readers: Readers
) -> RunContext:
    settings = setup.settings
    return RunContext(
        worker=setup.name,
        providers=setup.providers,
        writer=writer,
        bodies=BodyFetcher(setup.connections.bodies),
        finalizer=finalizer,
        wait_for_reader=readers.wait_for_capacity,
        provider_silence=settings.limits.provider_silence,
        trusted=settings.trusted_plugins,
        permissions=settings.permissions_of_plugins(),
        summary_model_of=settings.system.summary_model_of,
        policy_of=settings.retries.policy_of,
        fallbacks=settings.fallback_models(),
    )


def _retention(settings: Settings) -> Retention:
    limits = settings.limits
    return Retention(limits.result_ttl, limits.failure_ttl, limits.queue_ttl)


def _entry(setup: WorkerSetup, catalog: str) -> WorkerEntry:
    return WorkerEntry(
        name=setup.name,
        pool=setup.pool,
        queues=setup.queues,
        catalog=catalog,
        host=socket.gethostname(),
        pid=os.getpid(),
        concurrency=setup.settings.pools[setup.pool].concurrency,
    )


def _catalog(setup: WorkerSetup) -> Catalog:
    settings = setup.settings
    served = settings.provider_tables(setup.pool)  # without providers that are fallbacks only
    return Catalog(
        bounds=settings.limits.bounds,
        summary_model=settings.system.summary_model,
        providers=[
            ProviderEntry(
                name=name,
                any_model=provider.any_model,
                model_types=sorted(provider.model_types, key=lambda kind: kind.value),
                models=list(provider.models()),
            )
            for name, provider in sorted(setup.providers.items())
            if name in served
        ],
    )
