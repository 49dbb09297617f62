"""An HTTP answer that is written piece by piece, and stops its source when the client goes."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from starlette.types import Receive, Scope, Send


@dataclass(slots=True)
class StreamedResponse:
    """Sends what `pieces` gives, in order, flushing each.

    Headers leave with the first piece. When the client closes its connection, or the server ends,
    the source is cancelled and closed before this returns; when it was the server, `farewell` is
    sent last. After `every` seconds without a piece the `heartbeat` is sent, if there is one.
    """

    pieces: AsyncGenerator[bytes, None]
    media_type: str
    farewell: bytes = b""
    heartbeat: bytes | None = None
    every: float = 25.0
    status: int = 200
    _started: bool = False
    _sent_at: float = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._sent_at = asyncio.get_running_loop().time()
        feeding = asyncio.create_task(self._feed(send))
        # Starlette's own streaming response leaves by a cancel scope, in which the source could not
        # wait for anything while it is closed, such as Redis taking the order to cancel.
        others = [asyncio.create_task(_until_gone(receive))]
        if self.heartbeat is not None:
            others.append(asyncio.create_task(self._beat(send, self.heartbeat)))
        try:
            await asyncio.wait([feeding, *others], return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await _end(feeding, *others)
            await self._write(send, self.farewell)
            await self._finish(send)
            raise
        await _end(feeding, *others)
        with contextlib.suppress(asyncio.CancelledError):
            feeding.result()

    async def _feed(self, send: Send) -> None:
        async with aclosing(self.pieces) as pieces:
            async for piece in pieces:
                await self._write(send, piece)
        await self._finish(send)

    async def _beat(self, send: Send, heartbeat: bytes) -> None:
        loop = asyncio.get_running_loop()
        while True:
            silent = loop.time() - self._sent_at
            if silent >= self.every:
                await self._write(send, heartbeat)
                silent = 0.0
            await asyncio.sleep(self.every - silent)

    async def _write(self, send: Send, piece: bytes) -> None:
        self._sent_at = asyncio.get_running_loop().time()
        await self._start(send)
        await send({"type": "http.response.body", "body": piece, "more_body": True})

    async def _finish(self, send: Send) -> None:
        await self._start(send)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _start(self, send: Send) -> None:
        if self._started:
            return
        self._started = True
        headers = [(b"content-type", self.media_type.encode()), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})


async def _end(*tasks: "asyncio.Task[None]") -> None:
    for task in tasks:
        if not task.cancelling():  # a second time would interrupt what it does to leave in order
            task.cancel()
    await asyncio.wait(tasks)


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
