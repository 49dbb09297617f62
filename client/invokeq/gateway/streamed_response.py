"""An HTTP response in pieces; the source of pieces stops when the client disconnects."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from starlette.types import Receive, Scope, Send


@dataclass(slots=True)
class StreamedResponse:
    """Sends every piece of `pieces` in order and flushes after each.

    Headers are sent with the first piece. When the client disconnects or the server shuts down,
    `pieces` is cancelled and closed before the response returns; on shutdown, `farewell` is sent
    last. After `every` seconds without a piece, `heartbeat` is sent, if there is one.
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
        # Starlette's own streaming response leaves by a cancel scope. Within that, the source could
        # await nothing while it is closed, so Redis would never receive the cancel.
        others = [asyncio.create_task(_wait_for_disconnect(receive))]
        if self.heartbeat is not None:
            others.append(asyncio.create_task(self._send_heartbeats(send, self.heartbeat)))
        try:
            await asyncio.wait([feeding, *others], return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:  # the grace time is over: end the answer in the SDK's format
            await _stop(feeding, *others)
            await self._write(send, self.farewell)
            await self._finish(send)
            raise
        # Also after a disconnect: closing the source sends the cancel to Redis.
        await _stop(feeding, *others)
        with contextlib.suppress(asyncio.CancelledError):
            feeding.result()

    async def _feed(self, send: Send) -> None:
        async with aclosing(self.pieces) as pieces:
            async for piece in pieces:
                await self._write(send, piece)
        await self._finish(send)

    async def _send_heartbeats(self, send: Send, heartbeat: bytes) -> None:
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


async def _stop(*tasks: "asyncio.Task[None]") -> None:
    for task in tasks:
        if not task.cancelling():  # a second cancel would interrupt the task's own clean-up
            task.cancel()
    await asyncio.wait(tasks)


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
