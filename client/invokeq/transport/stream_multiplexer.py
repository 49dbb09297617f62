"""Multiplex the waits for many streams over a few connections."""

import asyncio
import contextlib
from typing import Final

from redis.exceptions import ResponseError

from invokeq.protocol.redis.resp import Reply
from invokeq.transport.batch import RedisConnectionLostError, StreamWait
from invokeq.transport.connection import RedisConnection

BUSY: Final = 0.005
"""Seconds: a read that returned faster is likely to return soon again."""

JOIN_BUSY_READ: Final = 0.002
"""Seconds until a stream that waits to join a busy read gets a separate read."""

CROWD: Final = 32
"""From so many streams with entries in one read, a pause before the next read pays off."""

PAUSE: Final = 0.005
"""Seconds of the pause; each read costs both sides time for every stream, busy or not."""

KEPT: Final = 4
"""Connections kept open without any waiting stream."""


class _Waiter:
    """One task that waits for one stream, until `due` on the loop's clock."""

    __slots__ = ("alone", "due", "reply", "wait")

    def __init__(self, wait: StreamWait, loop: asyncio.AbstractEventLoop) -> None:
        self.wait = wait
        self.due = loop.time() + wait.block_ms / 1000
        self.reply: asyncio.Future[Reply] = loop.create_future()
        self.alone = False


class StreamMultiplexer:
    """Merges the stream waits of all tasks into few XREADs.

    After each read, answered tasks run first; the next read then takes every waiter without a read.
    So reads merge, and under load one connection serves all waiters. A waiter that comes while all
    reads are blocked gets another connection.
    """

    def __init__(
        self, connection: RedisConnection, timeout: float, *, multiplex: bool = True
    ) -> None:
        self._connection = connection
        self._timeout = timeout
        self._multiplex = multiplex
        self._waiters: list[_Waiter] = []
        self._free: list[RedisConnection] = []
        self._reads: set[asyncio.Task[None]] = set()
        self._gathering = 0
        self._busy = False

    async def wait(self, wait: StreamWait) -> Reply:
        """Wait for entries of one stream; return XREAD's reply, or None after `block_ms`.

        Raise RedisConnectionLostError.
        """
        loop = asyncio.get_running_loop()
        waiter = _Waiter(wait, loop)
        waiter.alone = not self._multiplex
        self._waiters.append(waiter)
        if not self._gathering:
            # A blocked XREAD takes no further stream. A busy one returns soon and gathers again.
            if self._busy and self._reads:
                loop.call_later(JOIN_BUSY_READ, self._start)
            else:
                self._start()
        return await waiter.reply

    async def close(self) -> None:
        """Close the connections; every waiter gets RedisConnectionLostError."""
        for read in list(self._reads):
            read.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await read
        _fail(self._waiters, RedisConnectionLostError("the session was closed"))
        self._waiters.clear()
        while self._free:
            await self._free.pop().close()

    def _start(self) -> None:
        """Start another read, unless a starting read is about to take all waiters."""
        if self._waiters and not self._gathering:
            self._gathering += 1
            read = asyncio.get_running_loop().create_task(self._read())
            self._reads.add(read)
            read.add_done_callback(self._reads.discard)

    async def _read(self) -> None:
        connection = self._free.pop() if self._free else self._connection.clone()
        pause = 0.0
        try:
            while True:
                try:
                    # Tasks answered just now run first, and the next waits of the tasks join.
                    await asyncio.sleep(pause)
                finally:
                    self._gathering -= 1
                group = self._gather()
                if not group:
                    break
                found = await self._read_once(connection, group)
                pause = PAUSE if found >= CROWD else 0.0
                self._gathering += 1
        finally:
            if len(self._free) < KEPT and connection.is_open:
                self._free.append(connection)
            else:
                await connection.close()

    def _gather(self) -> list[_Waiter]:
        """Return the waiters of the next read: each stream once; a waiter marked alone, alone."""
        waiting = [waiter for waiter in self._waiters if not waiter.reply.done()]
        group: dict[str, _Waiter] = {}
        alone = False
        self._waiters = []
        for waiter in waiting:
            fits = not group if waiter.alone else waiter.wait.stream not in group and not alone
            if fits:
                alone = waiter.alone
                group[waiter.wait.stream] = waiter
            else:
                self._waiters.append(waiter)
        self._start()  # a read of its own for what did not fit
        return list(group.values())

    async def _read_once(self, connection: RedisConnection, group: list[_Waiter]) -> int:
        """Read for a group, answer the waiters, and return the number of streams with entries.

        A waiter without entries waits on until `due`.
        """
        loop = asyncio.get_running_loop()
        begun = loop.time()
        block = max(1, int((min(waiter.due for waiter in group) - begun) * 1000))
        # One COUNT bounds every stream of an XREAD, so the smallest limit counts.
        count = min(waiter.wait.limit for waiter in group)
        streams = [waiter.wait.stream for waiter in group]
        places = [waiter.wait.after for waiter in group]
        command = ("XREAD", "COUNT", count, "BLOCK", block, "STREAMS", *streams, *places)
        try:
            (reply,) = await connection.exchange([command], self._timeout)
        except asyncio.CancelledError:
            _fail(group, RedisConnectionLostError("the session was closed"))
            raise
        except RedisConnectionLostError as error:
            _fail(group, error)
            return 0
        now = loop.time()
        self._busy = now - begun < BUSY
        if isinstance(reply, ResponseError) and len(group) > 1:
            # One stream's error fails the whole XREAD without a name: next, each reads alone.
            for waiter in group:
                waiter.alone = True
            self._waiters += group
            return 0
        if isinstance(reply, ResponseError):
            # Alone in the read: the error belongs to the only waiter.
            _answer(group[0], reply)
            return 0
        return self._answer_group(group, reply, now)

    def _answer_group(self, group: list[_Waiter], reply: Reply, now: float) -> int:
        found = {entry[0]: entry for entry in reply or ()}
        for waiter in group:
            entry = found.get(waiter.wait.stream.encode())
            if entry is not None:
                _answer(waiter, [entry])
            elif now >= waiter.due:
                _answer(waiter, None)
            else:
                self._waiters.append(waiter)
        return len(found)


def _answer(waiter: _Waiter, reply: Reply) -> None:
    if not waiter.reply.done():  # the task may have been cancelled
        waiter.reply.set_result(reply)


def _fail(waiters: list[_Waiter], error: Exception) -> None:
    for waiter in waiters:
        if not waiter.reply.done():
            waiter.reply.set_exception(error)
