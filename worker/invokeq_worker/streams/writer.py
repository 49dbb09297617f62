"""The one writer of a worker process: every event and RQ job record goes to Redis through here.

Order: the events of a stream arrive in the order of emission. Loss: none while Redis
comes back within `retention`; unacknowledged commands are kept and sent again. Duplication: none;
writes are idempotent, because Redis refuses a known entry id. Fencing: once another
worker has written a higher attempt, or has fenced the attempt, `EventWriter.fenced` is true and
the stream sends no more.

Not promised: an event in Redis when `chunk()` returns. Await `flushed()` for delivery.

Cost: one round trip for all events since the last batch, of all invocations. An idle
writer sends a chunk at once; under load, chunks of one stream coalesce into one entry.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

import structlog
from redis.exceptions import OutOfMemoryError, ReadOnlyError, ResponseError

from invokeq.protocol.events import LAST_SEQUENCE, EventId
from invokeq.protocol.redis.resp import Command, Reply
from invokeq.transport.batch import RedisConnectionLostError
from invokeq.transport.connection import RedisConnection
from invokeq_worker.config.values import REDIS_RETENTION, Window
from invokeq_worker.redis import scripts
from invokeq_worker.redis.scripts import Closing
from invokeq_worker.streams.event_stream import EventWriter

EXCHANGE_TIMEOUT: Final = 10.0
"""Seconds for one batch; a half-open connection is closed then."""

RETRY_PAUSE: Final = 0.1
"""Seconds between tries while Redis is unavailable; readers do not notice less than a second."""

HIGH_WATER: Final = 8 * 1024 * 1024
"""Unsent bytes of one process above which runs must wait (backpressure)."""

FINALIZE_SIZE: Final = 64
"""RQ jobs finalized by one command; more would block the server for over a millisecond."""

log: Final = structlog.get_logger(__name__)


class _Write:
    """One command to send: of an event the stream and sequence, else the callbacks."""

    __slots__ = ("command", "on_reply", "sequence", "stream")

    def __init__(
        self,
        command: Command,
        stream: EventWriter | None = None,
        sequence: int | None = None,
        on_reply: tuple[Callable[[Reply], None], ...] = (),
    ) -> None:
        self.command = command
        self.stream = stream
        self.sequence = sequence
        self.on_reply = on_reply


class Writer:
    """Batches the writes of all invocations of one process; run `run()` as a task."""

    def __init__(
        self,
        connection: RedisConnection,
        worker: str,
        window: Window,
        retention: float = REDIS_RETENTION,
    ) -> None:
        self._connection = connection
        self._worker = worker
        self._window = window
        self._retention = retention
        self._closings: list[tuple[Closing, Callable[[Reply], None]]] = []
        self._dirty: dict[EventWriter, None] = {}
        self._commands: list[_Write] = []
        self._wake = asyncio.Event()
        self._unsent = 0
        self._capacity = asyncio.Event()
        self._capacity.set()
        self._idle = asyncio.Event()
        self._idle.set()
        self.lost: asyncio.Event = asyncio.Event()

    def open(
        self, request_id: str, attempt: int, *, fresh: bool, on_fenced: Callable[[], None]
    ) -> EventWriter:
        """Open the stream of an attempt; `fresh` deletes the stream of an ended attempt."""
        stream = EventWriter(request_id, attempt, self._mark_dirty, on_fenced, self._window)
        if fresh:
            self.command(("DEL", stream.key))
        return stream

    def command(self, command: Command, *on_reply: Callable[[Reply], None]) -> None:
        """Send an idempotent command after all events emitted so far."""
        self._collect_streams()
        self._commands.append(_Write(command, on_reply=on_reply))
        self._wake_writer()

    def finalize_job(self, closing: Closing, on_reply: Callable[[Reply], None]) -> None:
        """Write RQ's records of an ended execution, after all events; batched into few commands."""
        self._closings.append((closing, on_reply))
        self._wake_writer()

    def _mark_dirty(self, stream: EventWriter, size: int) -> None:
        self._dirty[stream] = None
        self._unsent += size
        if self._unsent > HIGH_WATER:
            self._capacity.clear()
        self._wake_writer()

    @property
    def is_congested(self) -> bool:
        """Whether runs must await `wait_for_capacity()` before emitting more."""
        return not self._capacity.is_set()

    async def wait_for_capacity(self) -> None:
        """Wait until less than HIGH_WATER bytes are unsent (backpressure)."""
        await self._capacity.wait()

    async def flushed(self) -> None:
        """Wait until everything emitted so far is in Redis."""
        await self._idle.wait()

    async def run(self) -> None:
        """Send batches forever; set `lost` and return when Redis is unavailable for too long."""
        while True:
            await self._wake.wait()
            await asyncio.sleep(0)  # runs that are ready now coalesce into this batch
            self._wake.clear()
            self._collect_streams()
            self._collect_closings()
            # Before the first await of the send: what is emitted during it wakes the next round.
            batch, self._commands = self._commands, []
            sent, self._unsent = self._unsent, 0
            if batch and not await self._deliver(batch):
                self.lost.set()
                return
            if sent:
                self._capacity.set()
            if not self._dirty and not self._commands and not self._closings:
                self._idle.set()

    def _wake_writer(self) -> None:
        if not self._wake.is_set():
            self._idle.clear()
            self._wake.set()

    def _collect_streams(self) -> None:
        for stream in self._dirty:
            self._commands.extend(
                _Write(command, stream, sequence) for command, sequence in stream.take_commands()
            )
        self._dirty.clear()

    def _collect_closings(self) -> None:
        # After the streams: a job must not look finished before its terminal event is readable.
        closings, self._closings = self._closings, []
        for at in range(0, len(closings), FINALIZE_SIZE):
            group = closings[at : at + FINALIZE_SIZE]
            command = scripts.finish(self._worker, [closing for closing, _ in group])
            self._commands.append(_Write(command, on_reply=tuple(done for _, done in group)))

    async def _deliver(self, batch: list[_Write]) -> bool:
        """Send a batch until each command has a reply; return False if Redis stays unavailable."""
        repeated = False
        since: float | None = None
        while batch:
            try:
                replies = await scripts.exchange(
                    self._connection, [write.command for write in batch], EXCHANGE_TIMEOUT
                )
            except RedisConnectionLostError as error:
                replies = []
                problem = str(error)
            else:
                batch = await self._distribute(batch, replies, repeated)
                problem = "Redis refuses writes"
                if not batch:
                    break
            # The server may have executed any part of a broken batch: from here on, a refused id
            # can be an entry of ours that arrived before the connection broke.
            repeated = True
            if since is None:
                since = time.monotonic()
                log.warning("redis unavailable", problem=problem, unsent=len(batch))
            if time.monotonic() - since > self._retention:
                log.error("redis unavailable too long", seconds=self._retention, lost=len(batch))
                return False
            await asyncio.sleep(RETRY_PAUSE)
        if since is not None:
            log.info("redis reconnected", seconds=round(time.monotonic() - since, 1))
        return True

    async def _distribute(
        self, batch: list[_Write], replies: list[Reply], repeated: bool
    ) -> list[_Write]:
        """Pass replies on; return the writes to send again, in order."""
        again: list[_Write] = []
        for write, reply in zip(batch, replies, strict=True):
            if isinstance(reply, OutOfMemoryError | ReadOnlyError):
                again.append(write)
                continue
            if isinstance(reply, ResponseError):
                if write.stream is not None and write.sequence is not None:
                    await self._handle_refusal(write.stream, write.sequence, reply, repeated)
                elif not write.on_reply:
                    log.error("command refused", command=write.command[0], problem=str(reply))
            for on_reply in write.on_reply:
                on_reply(reply)
        return again

    async def _handle_refusal(
        self, stream: EventWriter, sequence: int, error: ResponseError, repeated: bool
    ) -> None:
        """Fence the stream of a refused entry, unless the same entry had arrived before."""
        if "equal or smaller" not in str(error):
            log.error("event refused", stream=stream.key, problem=str(error))
            stream.fence()
            return
        if repeated and await self._has_arrived(stream, sequence):
            return
        log.warning("attempt fenced", stream=stream.key, attempt=stream.attempt)
        stream.fence()

    async def _has_arrived(self, stream: EventWriter, sequence: int) -> bool:
        """Return whether an entry of the attempt is in the stream. One round trip."""
        try:
            top: Any = await self._connection.execute(
                "XREVRANGE", stream.key, "+", "-", "COUNT", 1, timeout=EXCHANGE_TIMEOUT
            )
        except (RedisConnectionLostError, ResponseError):
            return True  # unavailable again: the next write of this attempt will show
        if not top:
            return False
        last = EventId.parse(top[0][0])
        # LAST_SEQUENCE is the fence that a reaper wrote with this attempt's own number.
        return last.attempt == stream.attempt and sequence <= last.sequence < LAST_SEQUENCE
