"""The worker: an RQ worker for many invocations at once on one event loop.

RQ's tools see and steer a worker of RQ's own kind (`rq info`, `rq suspend`, `rq requeue`, stop and
shutdown commands, registries). The loop, the claims and the job records are invokeq's.
"""

import asyncio
import contextlib
import gc
import os
import secrets
import signal
import socket
from collections.abc import Mapping
from typing import Any, Final

import structlog
import uvloop
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import RedisError
from rq.worker import BaseWorker

from invokeq.protocol.codec import OrjsonSerializer
from invokeq.protocol.errors import BrokerUnavailableError
from invokeq.protocol.redis import keys
from invokeq.transport.connect import make_async_pool
from invokeq.transport.settings import Timeouts
from invokeq_providers.base import Provider
from invokeq_providers.registry import build_providers
from invokeq_worker.attempts.decoding import warm_up
from invokeq_worker.config.fields import Queue
from invokeq_worker.config.served import served_providers
from invokeq_worker.config.settings import Settings
from invokeq_worker.engine.assembly import (
    Connections,
    Parts,
    WorkerSetup,
    assemble,
    build_heartbeat,
)
from invokeq_worker.redis.server_check import check_server, open_client
from invokeq_worker.vendor.fallbacks import check_fallbacks

WORKER_TTL: Final = 60
"""Seconds for which RQ's record of a worker outlives the last heartbeat."""

GARBAGE: Final = 10_000
"""New objects before Python looks for garbage. A run leaves no cycles, and a wave of new runs is no
garbage either."""

FLUSH_TIMEOUT: Final = 5.0
"""Seconds to flush the last events when the worker ends."""

log: Final = structlog.get_logger(__name__)


class InvocationWorker(BaseWorker):
    """One worker process of a pool.

    `work()` runs until SIGTERM, SIGINT or RQ's shutdown command.
    """

    _parts: Parts

    def __init__(
        self,
        settings: Settings,
        pool: str,
        providers: Mapping[str, Provider],
        connection: Redis,
        name: str | None = None,
    ) -> None:
        super().__init__(
            list(settings.pools[pool].queues),
            name=name or f"{pool}.{socket.gethostname()}.{os.getpid()}.{secrets.token_hex(2)}",
            connection=connection,
            serializer=OrjsonSerializer,
            worker_ttl=WORKER_TTL,
        )
        self._settings = settings
        self._pool = pool
        self._providers = providers
        self._lanes: set[str] = set()
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()

    def work(self, burst: bool = False, *_: Any, **__: Any) -> bool:
        """Run until stopped; with `burst`, until the lanes are empty. Return False if Redis was
        lost."""
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(self._work(burst))

    async def _work(self, burst: bool) -> bool:
        redis_settings = self._settings.redis
        pool = make_async_pool(
            redis_settings.url_text, Timeouts(redis_settings.connect_timeout, None)
        )
        connections = Connections.open(pool)
        redis = AsyncRedis(connection_pool=pool)
        try:
            return await self._serve(connections, redis, burst)
        finally:
            await connections.close()
            await redis.aclose()
            await pool.aclose()

    async def _serve(self, connections: Connections, redis: AsyncRedis, burst: bool) -> bool:
        setup = WorkerSetup(
            settings=self._settings,
            pool=self._pool,
            name=self.name,
            queues=self.queue_names(),
            providers=self._providers,
            connections=connections,
            redis=redis,
        )
        self._parts = parts = assemble(setup, self._announce_lane, self._on_command)
        self._listen_for_signals()
        await self._start_providers()
        warm_up()
        gc.freeze()  # objects of the start live as long as the process: no collection visits them
        gc.set_threshold(GARBAGE)
        heartbeat = build_heartbeat(setup, parts, WORKER_TTL)
        async with asyncio.TaskGroup() as group:
            side = [
                group.create_task(part.run())
                for part in (parts.commands, parts.writer, parts.readers)
            ]
            await asyncio.to_thread(self.register_birth)
            # Before the first claim, or a cancel of a claimed job could be missed.
            await parts.commands.subscribed.wait()
            # Likewise: the claim script hands out jobs to workers with a lease only.
            await heartbeat.beat()
            side.append(group.create_task(heartbeat.run()))
            log.info("worker ready", worker=self.name, queues=self.queue_names(), pool=self._pool)
            ended_well = await self._until_stopped(group, burst)
            await self._drain(ended_well)
            # Last, since draining still needs the heartbeat: without it the runs would be reaped.
            for task in side:
                task.cancel()
        await heartbeat.deregister()
        await self._deregister()
        log.info("worker ended", worker=self.name)
        return ended_well

    async def _until_stopped(self, group: asyncio.TaskGroup, burst: bool) -> bool:
        """Claim until a signal, the end of a burst, or the loss of Redis; return False for the
        last."""
        claimer, writer = self._parts.claimer, self._parts.writer
        claiming = group.create_task(claimer.run(burst))
        stop = group.create_task(self._stop.wait())
        lost = group.create_task(writer.lost.wait())
        await asyncio.wait({claiming, stop, lost}, return_when=asyncio.FIRST_COMPLETED)
        claimer.stop()
        await asyncio.wait({claiming})
        stop.cancel()
        lost.cancel()
        return not writer.lost.is_set()

    async def _drain(self, redis_is_there: bool) -> None:
        """End the runs within the grace time, flush all events, and close the providers."""
        grace = self._settings.limits.shutdown_grace if redis_is_there else 0
        await self._parts.runs.drain(self.name, grace, self._hurry)
        if redis_is_there:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._parts.writer.flushed(), FLUSH_TIMEOUT)
        for provider in self._providers.values():
            await provider.close()

    async def _start_providers(self) -> None:
        queues = [Queue.parse(name) for name in self.queue_names()]
        try:
            for name, provider in self._providers.items():
                await provider.start({q.model_type for q in queues if q.provider in (None, name)})
        except BaseException:
            for provider in self._providers.values():
                await provider.close()
            raise

    def register_birth(self) -> None:
        """Register as RQ does, and list the queues for `rq info`."""
        super().register_birth()
        self.connection.sadd(keys.QUEUES, *(queue.key for queue in self.queues))

    def register_death(self) -> None:
        """Deregister as RQ does, from the lanes too."""
        super().register_death()
        with self.connection.pipeline(transaction=False) as pipeline:
            for lane in self._lanes:
                pipeline.srem(keys.lane_workers(lane), self.key)
            pipeline.execute()

    async def _deregister(self) -> None:
        try:
            await asyncio.to_thread(self.register_death)
        except RedisError as error:
            log.warning("deregistration failed", worker=self.name, problem=str(error))

    def _announce_lane(self, lane: str) -> None:
        """Have RQ's tools list this worker with a newly served lane."""
        if lane not in self._lanes:
            self._lanes.add(lane)
            self._parts.writer.command(("SADD", keys.lane_workers(lane), self.key))

    def _on_command(self, command: dict[str, Any]) -> None:
        """Execute a command of RQ's tools; there is no work horse to kill."""
        match command:
            case {"command": "stop-job" | "stop-execution", "job_id": str(request_id)}:
                self._parts.runs.stop(request_id)
            case {"command": "shutdown"}:
                log.info("shutdown requested", worker=self.name)
                self._request_stop()
            case _:
                log.warning("command ignored", worker=self.name, command=command.get("command"))

    def _listen_for_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._request_stop)

    def _request_stop(self) -> None:
        """Stop claiming and drain; when called again, end the remaining runs at once."""
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()


def run_worker(
    settings: Settings, pool: str, *, name: str | None = None, burst: bool = False
) -> int:
    """Run one worker process of a pool until stopped, and return the exit code.

    Raises ConfigurationError for unusable settings, and BrokerUnavailableError if Redis
    does not answer.
    """
    providers = build_providers(settings.needed_tables(pool))
    served_providers(settings, pool, providers)
    for problem in check_fallbacks(settings.fallback_models(), providers, settings.source):
        raise problem
    connection = open_client(settings.redis)
    try:
        check_server(connection, settings.redis.address)
        worker = InvocationWorker(settings, pool, providers, connection, name)
        return 0 if worker.work(burst) else 1
    except RedisError as error:
        raise BrokerUnavailableError(address=settings.redis.address, detail=str(error)) from error
    finally:
        connection.close()
