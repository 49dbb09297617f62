"""The worker: an RQ worker that holds many invocations at once on one event loop.

RQ sees and steers it as one of its own (`rq info`, `rq suspend`, `rq requeue`, stop and shutdown
commands, registries); the loop, the claims and the books are ours. The parts, in the order in which
an invocation meets them: Claimer -> Run -> Writer; Heartbeat, Reaper and Commands stand beside.
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
from invokeq.protocol.directory import Catalog, ProviderEntry, WorkerEntry
from invokeq.protocol.errors import BrokerUnavailableError
from invokeq.protocol.redis import keys
from invokeq.transport.connect import make_async_pool, open_connection
from invokeq.transport.connection import RedisConnection
from invokeq.transport.settings import Timeouts
from invokeq_providers.base import Provider
from invokeq_providers.registry import build_providers
from invokeq_worker.config.fields import Queue
from invokeq_worker.config.served import served_providers
from invokeq_worker.config.settings import Settings
from invokeq_worker.config.values import Retention
from invokeq_worker.engine.claimer import Claimer
from invokeq_worker.engine.commands import Commands, EarlyCancels
from invokeq_worker.engine.decoding import warm_up
from invokeq_worker.engine.heartbeat import Heartbeat
from invokeq_worker.engine.job_records import Ending
from invokeq_worker.engine.readers import Readers
from invokeq_worker.engine.reaper import Reaper
from invokeq_worker.engine.run import Run, RunContext
from invokeq_worker.redis import scripts
from invokeq_worker.redis.scripts import Claimed
from invokeq_worker.redis.server_check import check_server, open_client
from invokeq_worker.streams.writer import Writer
from invokeq_worker.vendor.fallbacks import check_fallbacks

WORKER_TTL: Final = 60
"""Seconds that RQ's record of a worker outlives its last heartbeat."""

GARBAGE: Final = 10_000
"""Objects by which a process may grow before garbage is looked for; a run leaves none, and a wave
of new ones is none."""

SETTLE_TIMEOUT: Final = 5.0
"""Seconds to get the last events out when the worker ends."""

log: Final = structlog.get_logger(__name__)


class InvocationWorker(BaseWorker):
    """One worker process of a pool; `work()` runs it until SIGTERM, SIGINT or RQ's shutdown
    command."""

    def __init__(
        self,
        settings: Settings,
        pool: str,
        providers: Mapping[str, Provider],
        connection: Redis,
        name: str | None = None,
    ) -> None:
        pool_settings = settings.pools[pool]
        super().__init__(
            list(pool_settings.queues),
            name=name or f"{pool}.{socket.gethostname()}.{os.getpid()}.{secrets.token_hex(2)}",
            connection=connection,
            serializer=OrjsonSerializer,
            worker_ttl=WORKER_TTL,
        )
        self._settings = settings
        self._pool = pool
        self._providers = providers
        self._concurrency = pool_settings.concurrency
        self._runs: dict[str, Run] = {}
        self._held: set[str] = set()
        self._lanes: set[str] = set()
        self._early = EarlyCancels()
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()

    def work(self, burst: bool = False, *_: Any, **__: Any) -> bool:
        """Work until told to stop; with `burst`, until the lanes are empty. True if it ended
        well."""
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(self._work(burst))

    async def _work(self, burst: bool) -> bool:
        redis_settings = self._settings.redis
        pool = make_async_pool(
            redis_settings.url_text, Timeouts(redis_settings.connect_timeout, None)
        )
        links = [open_connection(pool) for _ in range(5)]
        redis = AsyncRedis(connection_pool=pool)
        try:
            return await self._serve(links, redis, burst)
        finally:
            for link in links:
                await link.close()
            await redis.aclose()
            await pool.aclose()

    async def _serve(self, links: list[RedisConnection], redis: AsyncRedis, burst: bool) -> bool:
        claims, writes, beats, bodies, looks = links
        limits = self._settings.limits
        writer = Writer(writes, self.name, limits.window, limits.redis_retention)
        readers = Readers(looks, writer.lost.set, limits.redis_retention)
        retention = Retention(limits.result_ttl, limits.failure_ttl, limits.queue_ttl)
        self._context = RunContext(
            worker=self.name,
            providers=self._providers,
            writer=writer,
            bodies=bodies,
            bodies_lock=asyncio.Lock(),
            reader_room=readers.room,
            retention=retention,
            provider_silence=limits.provider_silence,
            trusted=self._settings.trusted_plugins,
            permissions=self._settings.permissions_of_plugins(),
            summary_model_of=self._settings.system.summary_model_of,
            on_closed=self._closed,
            policy_of=self._settings.retries.policy_of,
            fallbacks=self._settings.fallback_models(),
        )
        self._beats = beats
        self._claimer = Claimer(
            claims,
            self.name,
            self.queue_names(),
            self._concurrency,
            self._start_run,
            self._reconcile,
        )
        self._listen_for_signals()
        await self._start_providers()
        warm_up()
        gc.freeze()  # what start-up made stays for good: no collection need look at it again
        gc.set_threshold(GARBAGE)
        catalog = self._catalog().encode()  # a hosted plugin describes some models once it runs
        heartbeat = Heartbeat(
            beats,
            self._entry(catalog[0]),
            catalog,
            WORKER_TTL,
            self._runs,
            self._claimer,
            readers,
            Reaper(beats, self.name, retention, limits.max_attempts).reap,
        )
        commands = Commands(redis, self.name, self._on_cancel, self._on_command)
        async with asyncio.TaskGroup() as group:
            side = [group.create_task(part.run()) for part in (commands, writer, readers)]
            await asyncio.to_thread(self.register_birth)
            await commands.subscribed.wait()
            await heartbeat.beat()
            side.append(group.create_task(heartbeat.run()))
            log.info("worker ready", worker=self.name, queues=self.queue_names(), pool=self._pool)
            ended_well = await self._until_stopped(writer, group, burst)
            await self._drain(writer, ended_well)
            for task in side:
                task.cancel()
        await heartbeat.resign()
        await self._say_goodbye()
        log.info("worker ended", worker=self.name)
        return ended_well

    async def _until_stopped(self, writer: Writer, group: asyncio.TaskGroup, burst: bool) -> bool:
        """Claim and run until a signal, the end of a burst, or the loss of Redis; False for the
        last."""
        claiming = group.create_task(self._claimer.run(burst))
        stop = group.create_task(self._stop.wait())
        lost = group.create_task(writer.lost.wait())
        await asyncio.wait({claiming, stop, lost}, return_when=asyncio.FIRST_COMPLETED)
        self._claimer.stop()
        await asyncio.wait({claiming})
        stop.cancel()
        lost.cancel()
        return not writer.lost.is_set()

    async def _drain(self, writer: Writer, redis_is_there: bool) -> None:
        """Let what runs finish within the grace time; then hand back what has not spoken, end the
        rest."""
        grace = self._settings.limits.shutdown_grace if redis_is_there else 0
        tasks = {run.task for run in self._runs.values() if run.task is not None}
        if tasks:
            log.info("draining", worker=self.name, running=len(tasks), grace=grace)
            hurry = asyncio.create_task(self._hurry.wait())
            gathered = asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.wait(
                {hurry, gathered}, timeout=grace, return_when=asyncio.FIRST_COMPLETED
            )
            hurry.cancel()
            for run in list(self._runs.values()):
                if not run.hand_back():
                    run.cancel("shutdown")
            await gathered
        if redis_is_there:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(writer.settled(), SETTLE_TIMEOUT)
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
        """Sign on as RQ does, and make the queues known, so that `rq info` shows who listens on
        them."""
        super().register_birth()
        self.connection.sadd(keys.QUEUES, *(queue.key for queue in self.queues))

    def register_death(self) -> None:
        """Sign off as RQ does, from the lanes too."""
        super().register_death()
        with self.connection.pipeline(transaction=False) as pipeline:
            for lane in self._lanes:
                pipeline.srem(keys.lane_workers(lane), self.key)
            pipeline.execute()

    async def _say_goodbye(self) -> None:
        try:
            await asyncio.to_thread(self.register_death)
        except RedisError as error:
            log.warning("could not sign off", worker=self.name, problem=str(error))

    def _start_run(self, job: Claimed) -> None:
        run = Run(job, self._context)
        reason = self._early.take(job.id)
        if reason is not None:
            run.cancel(reason)
        self._be_seen(job.lane)
        self._runs[job.id] = run
        self._held.add(f"{job.id}:{job.execution}")
        run.task = asyncio.get_running_loop().create_task(run.execute())
        run.task.add_done_callback(lambda _: self._run_ended(run))

    def _be_seen(self, lane: str) -> None:
        """Have RQ's tools show this worker beside the lanes that it has served."""
        if lane not in self._lanes:
            self._lanes.add(lane)
            self._context.writer.command(("SADD", keys.lane_workers(lane), self.key))

    def _run_ended(self, run: Run) -> None:
        if self._runs.get(run.job.id) is run:
            del self._runs[run.job.id]
        self._claimer.run_ended()

    def _closed(self, job: Claimed) -> None:
        self._held.discard(f"{job.id}:{job.execution}")

    async def _reconcile(self) -> None:
        """Put back what was claimed in our name by a claim whose answer never came."""
        link = self._beats.clone()
        try:
            executions = keys.worker_executions(self.name)
            for member in await link.execute("SMEMBERS", executions, timeout=SETTLE_TIMEOUT):
                composite = member.decode()
                if composite not in self._held:
                    request_id, _, execution = composite.partition(":")
                    await self._put_back(link, request_id, execution)
        finally:
            await link.close()

    async def _put_back(self, link: RedisConnection, request_id: str, execution: str) -> None:
        key = keys.execution(request_id, execution)
        lane = await link.execute("HGET", key, "lane", timeout=SETTLE_TIMEOUT)
        if lane:
            ttl = self._settings.limits.queue_ttl
            log.warning("claim was lost", request_id=request_id)
            self._context.writer.command(
                scripts.requeue(self.name, lane.decode(), request_id, execution, ttl)
            )

    def _on_cancel(self, request_id: str, reason: str) -> None:
        run = self._runs.get(request_id)
        if run is None:
            self._early.add(request_id, reason)
        else:
            run.cancel(reason)

    def _on_command(self, command: dict[str, Any]) -> None:
        """Do what RQ's tools ask for; there is no work horse here that could be killed."""
        match command:
            case {"command": "stop-job" | "stop-execution", "job_id": str(request_id)}:
                run = self._runs.get(request_id)
                if run is None:
                    log.warning("not running here", request_id=request_id)
                else:
                    run.cancel("operator", Ending.STOPPED)
            case {"command": "shutdown"}:
                log.info("shutdown command", worker=self.name)
                self._request_stop()
            case _:
                log.warning("command ignored", worker=self.name, command=command.get("command"))

    def _listen_for_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._request_stop)

    def _request_stop(self) -> None:
        """First time: stop claiming and drain. Second time: end what still runs, now."""
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    def _entry(self, catalog: str) -> WorkerEntry:
        return WorkerEntry(
            name=self.name,
            pool=self._pool,
            queues=self.queue_names(),
            catalog=catalog,
            host=socket.gethostname(),
            pid=os.getpid(),
            concurrency=self._concurrency,
        )

    def _catalog(self) -> Catalog:
        served = self._settings.provider_tables(self._pool)  # without those that only stand in
        return Catalog(
            bounds=self._settings.limits.bounds,
            summary_model=self._settings.system.summary_model,
            providers=[
                ProviderEntry(
                    name=name,
                    any_model=provider.any_model,
                    model_types=sorted(provider.model_types, key=lambda kind: kind.value),
                    models=list(provider.models()),
                )
                for name, provider in sorted(self._providers.items())
                if name in served
            ],
        )


def run_worker(
    settings: Settings, pool: str, *, name: str | None = None, burst: bool = False
) -> int:
    """Run one worker process of a pool until it is told to stop; gives the exit code.

    Raises ConfigurationError for a set-up that cannot work, BrokerUnavailableError if Redis is not
    there.
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
