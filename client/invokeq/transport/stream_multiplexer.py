"""Waits for many streams at once, over as few connections as it takes."""

import asyncio
import contextlib
from typing import Final

from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError

from invokeq.operations.plan import StreamWait
from invokeq.protocol.redis.resp import Reply
from invokeq.transport.shared_connection import exchange

BUSY: Final = 0.005
"""Seconds: reads that return faster than this are about to return again."""

RETRY_FOR_SECONDS: Final = 0.002
"""Seconds for which a stream waits to go along with a busy read before it gets one of its own."""

CROWD: Final = 32
"""Streams that brought something in one read: then the next read is worth a pause."""

PAUSE: Final = 0.005
"""Seconds of that pause; each read costs both sides time for every stream, busy or not."""

KEPT: Final = 4
"""Connections kept open when nothing is waited for."""


class _Waiter:
    """Somebody who waits for one stream, until `due` on the loop's clock."""

    __slots__ = ("alone", "due", "reply", "wish")

    def __init__(self, wish: StreamWait, loop: asyncio.AbstractEventLoop) -> None:
        self.wish = wish
        self.due = loop.time() + wish.block_ms / 1000
        self.reply: asyncio.Future[Reply] = loop.create_future()
        self.alone = False


class StreamMultiplexer:
    """Turns the waits of all tasks into few XREADs.

    A read that returns first lets those whose streams brought something come back, and then takes
    everybody who waits and is in no read: so reads grow together, and under load one connection
    serves them all. Who comes while all reads are blocked gets another connection.
    """

    def __init__(self, pool: ConnectionPool, *, gather_plans: bool = True) -> None:
        self._pool = pool
        self._together = gather_plans
        self._waiters: list[_Waiter] = []
        self._free: list[AbstractConnection] = []
        self._reads: set[asyncio.Task[None]] = set()
        self._gathering = 0
        self._busy = False

    async def wait(self, wish: StreamWait) -> Reply:
        """Wait for entries of one stream: XREAD's reply for it, or None after `block_ms`."""
        loop = asyncio.get_running_loop()
        waiter = _Waiter(wish, loop)
        waiter.alone = not self._together
        self._waiters.append(waiter)
        if not self._gathering:
            if self._busy and self._reads:
                loop.call_later(RETRY_FOR_SECONDS, self._start)
            else:
                self._start()
        return await waiter.reply

    async def close(self) -> None:
        """Drop the connections; whoever still waits gets redis' ConnectionError."""
        for read in list(self._reads):
            read.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await read
        _fail(self._waiters, RedisConnectionError("the session was closed"))
        self._waiters.clear()
        while self._free:
            await self._free.pop().disconnect(nowait=True)

    def _start(self) -> None:
        """Begin another read, unless one is about to take everybody who waits."""
        if self._waiters and not self._gathering:
            self._gathering += 1
            read = asyncio.get_running_loop().create_task(self._read())
            self._reads.add(read)
            read.add_done_callback(self._reads.discard)

    async def _read(self) -> None:
        connection = self._free.pop() if self._free else self._pool.make_connection()
        pause = 0.0
        try:
            while True:
                try:
                    await asyncio.sleep(pause)  # who is about to wait goes along
                finally:
                    self._gathering -= 1
                group = self._gather()
                if not group:
                    break
                brought = await self._read_once(connection, group)
                pause = PAUSE if brought >= CROWD else 0.0
                self._gathering += 1
        finally:
            if len(self._free) < KEPT and connection.is_connected:
                self._free.append(connection)
            else:
                await connection.disconnect(nowait=True)

    def _gather(self) -> list[_Waiter]:
        """Take those who wait: each stream once, and who must be alone alone."""
        waiting = [waiter for waiter in self._waiters if not waiter.reply.done()]
        group: dict[str, _Waiter] = {}
        alone = False
        self._waiters = []
        for waiter in waiting:
            fits = not group if waiter.alone else waiter.wish.stream not in group and not alone
            if fits:
                alone = waiter.alone
                group[waiter.wish.stream] = waiter
            else:
                self._waiters.append(waiter)
        self._start()
        return list(group.values())

    async def _read_once(self, connection: AbstractConnection, group: list[_Waiter]) -> int:
        """Read for a group, and hand out what came; who got nothing waits on until it is due.

        Tells how many streams brought something.
        """
        loop = asyncio.get_running_loop()
        begun = loop.time()
        block = max(1, int((min(waiter.due for waiter in group) - begun) * 1000))
        count = min(waiter.wish.limit for waiter in group)
        streams = [waiter.wish.stream for waiter in group]
        places = [waiter.wish.after for waiter in group]
        command = ("XREAD", "COUNT", count, "BLOCK", block, "STREAMS", *streams, *places)
        try:
            (reply,) = await exchange(connection, [command])
        except asyncio.CancelledError:
            _fail(group, RedisConnectionError("the session was closed"))
            raise
        except RedisError as error:
            _fail(group, error)
            return 0
        now = loop.time()
        self._busy = now - begun < BUSY
        if isinstance(reply, ResponseError) and len(group) > 1:
            for waiter in group:  # whose fault it is shows when each reads alone
                waiter.alone = True
            self._waiters += group
            return 0
        if isinstance(reply, ResponseError):
            _answer(group[0], reply)
            return 0
        return self._hand_out(group, reply, now)

    def _hand_out(self, group: list[_Waiter], reply: Reply, now: float) -> int:
        found = {entry[0]: entry for entry in reply or ()}
        for waiter in group:
            entry = found.get(waiter.wish.stream.encode())
            if entry is not None:
                _answer(waiter, [entry])
            elif now >= waiter.due:
                _answer(waiter, None)
            else:
                self._waiters.append(waiter)
        return len(found)


def _answer(waiter: _Waiter, reply: Reply) -> None:
    if not waiter.reply.done():
        waiter.reply.set_result(reply)


def _fail(waiters: list[_Waiter], error: Exception) -> None:
    for waiter in waiters:
        if not waiter.reply.done():
            waiter.reply.set_exception(error)
