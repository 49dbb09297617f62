"""The one writer of a worker process: everything that invocations say goes to Redis through here.

Promises. Events of one stream arrive in order, each once. Loss: none while the server comes back
within `retention`; what has not been acknowledged is kept and sent again. Duplication: none; an
entry that did arrive before the connection broke is refused by its id. Fencing: once another worker
has written a higher attempt, or shut this one out, `EventWriter.fenced` turns true and nothing more
is sent.

It does not promise that a write has reached Redis when `chunk()` returns; await `settled()` for
that.

Cost: one round trip for whatever all invocations have said since the last one. When idle, a chunk
is sent at once; under load, chunks of one stream that are ready together share one entry.
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
"""Seconds for one batch; a connection that is half open is given up after this."""

RETRY_PAUSE: Final = 0.1
"""Seconds between tries while Redis is away; readers notice nothing below a second."""

HIGH_WATER: Final = 8 * 1024 * 1024
"""Bytes kept unsent in one process before providers are made to wait."""

CLOSE_SIZE: Final = 64
"""Books closed by one command; more would hold the server up for over a millisecond."""

log: Final = structlog.get_logger(__name__)


class _Write:
    """One command on its way; of an event the stream and the sequence, or who wants the reply."""

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
        self, link: RedisConnection, worker: str, window: Window, retention: float = REDIS_RETENTION
    ) -> None:
        self._link = link
        self._worker = worker
        self._window = window
        self._retention = retention
        self._closings: list[tuple[Closing, Callable[[Reply], None]]] = []
        self._dirty: dict[EventWriter, None] = {}
        self._commands: list[_Write] = []
        self._wake = asyncio.Event()
        self._unsent = 0
        self._room = asyncio.Event()
        self._room.set()
        self._idle = asyncio.Event()
        self._idle.set()
        self.lost: asyncio.Event = asyncio.Event()

    def open(
        self, request_id: str, attempt: int, *, fresh: bool, on_fenced: Callable[[], None]
    ) -> EventWriter:
        """Begin the stream of an attempt; with `fresh`, what an ended attempt has left is
        dropped."""
        stream = EventWriter(request_id, attempt, self._dirtied, on_fenced, self._window)
        if fresh:
            self.command(("DEL", stream.key))
        return stream

    def command(self, command: Command, *on_reply: Callable[[Reply], None]) -> None:
        """Send a command after every event that has been said so far; it must bear repeating."""
        self._collect_streams()
        self._commands.append(_Write(command, on_reply=on_reply))
        self._stir()

    def close_books(self, closing: Closing, on_reply: Callable[[Reply], None]) -> None:
        """Close RQ's books on an execution, after its events; many are closed by one command."""
        self._closings.append((closing, on_reply))
        self._stir()

    def _dirtied(self, stream: EventWriter, size: int) -> None:
        self._dirty[stream] = None
        self._unsent += size
        if self._unsent > HIGH_WATER:
            self._room.clear()
        self._stir()

    @property
    def congested(self) -> bool:
        """Whether providers should wait in `room()` before they say more."""
        return not self._room.is_set()

    async def room(self) -> None:
        """Wait until less than HIGH_WATER bytes are unsent."""
        await self._room.wait()

    async def settled(self) -> None:
        """Wait until everything said so far is in Redis."""
        await self._idle.wait()

    async def run(self) -> None:
        """Send what there is, for ever; sets `lost` and returns when Redis stays away too long."""
        while True:
            await self._wake.wait()
            await asyncio.sleep(0)  # whoever is about to speak, too, goes with this batch
            self._wake.clear()
            self._collect_streams()
            self._collect_closings()
            batch, self._commands = self._commands, []
            sent, self._unsent = self._unsent, 0
            if batch and not await self._deliver(batch):
                self.lost.set()
                return
            if sent:
                self._room.set()
            if not self._dirty and not self._commands and not self._closings:
                self._idle.set()

    def _stir(self) -> None:
        if not self._wake.is_set():
            self._idle.clear()
            self._wake.set()

    def _collect_streams(self) -> None:
        for stream in self._dirty:
            self._commands.extend(
                _Write(command, stream, sequence) for command, sequence in stream.take()
            )
        self._dirty.clear()

    def _collect_closings(self) -> None:
        closings, self._closings = self._closings, []
        for at in range(0, len(closings), CLOSE_SIZE):
            group = closings[at : at + CLOSE_SIZE]
            command = scripts.finish(self._worker, [closing for closing, _ in group])
            self._commands.append(_Write(command, on_reply=tuple(done for _, done in group)))

    async def _deliver(self, batch: list[_Write]) -> bool:
        """Send a batch until every command of it has been answered; False if Redis stays away."""
        repeated = False
        since: float | None = None
        while batch:
            try:
                replies = await scripts.exchange(
                    self._link, [write.command for write in batch], EXCHANGE_TIMEOUT
                )
            except RedisConnectionLostError as error:
                replies = []
                problem = str(error)
            else:
                batch = await self._settle(batch, replies, repeated)
                problem = "Redis refuses writes"
                if not batch:
                    break
            repeated = True
            if since is None:
                since = time.monotonic()
                log.warning("redis is away", problem=problem, unsent=len(batch))
            if time.monotonic() - since > self._retention:
                log.error("redis stayed away", seconds=self._retention, lost=len(batch))
                return False
            await asyncio.sleep(RETRY_PAUSE)
        if since is not None:
            log.info("redis is back", seconds=round(time.monotonic() - since, 1))
        return True

    async def _settle(
        self, batch: list[_Write], replies: list[Reply], repeated: bool
    ) -> list[_Write]:
        """Hand out replies; give back the writes that must be sent again, in order."""
        again: list[_Write] = []
        for write, reply in zip(batch, replies, strict=True):
            if isinstance(reply, OutOfMemoryError | ReadOnlyError):
                again.append(write)
                continue
            if isinstance(reply, ResponseError):
                if write.stream is not None and write.sequence is not None:
                    await self._refused(write.stream, write.sequence, reply, repeated)
                elif not write.on_reply:
                    log.error("command refused", command=write.command[0], problem=str(reply))
            for on_reply in write.on_reply:
                on_reply(reply)
        return again

    async def _refused(
        self, stream: EventWriter, sequence: int, error: ResponseError, repeated: bool
    ) -> None:
        """An id was refused: either this very entry arrived before, or the attempt is shut out."""
        if "equal or smaller" not in str(error):
            log.error("redis refused an event", stream=stream.key, problem=str(error))
            stream.fence()
            return
        if repeated and await self._has_arrived(stream, sequence):
            return
        log.warning("attempt is shut out", stream=stream.key, attempt=stream.attempt)
        stream.fence()

    async def _has_arrived(self, stream: EventWriter, sequence: int) -> bool:
        try:
            top: Any = await self._link.execute(
                "XREVRANGE", stream.key, "+", "-", "COUNT", 1, timeout=EXCHANGE_TIMEOUT
            )
        except (RedisConnectionLostError, ResponseError):
            return True  # gone again: the next write of this attempt will tell
        if not top:
            return False
        last = EventId.parse(top[0][0])
        return last.attempt == stream.attempt and sequence <= last.sequence < LAST_SEQUENCE
