"""A local vendor that speaks OpenAI's API with the least CPU time: chat streams, embeddings.

A model called `c<chunks>r<rate>` answers with so many chunks, `rate` a second; at rate 0 at once.
The server knows just enough HTTP for clients that send whole requests and keep connections.
"""

import asyncio
import base64
import json
import re
import threading
from array import array
from queue import SimpleQueue
from typing import Any, Final

import uvloop

from bench.peers.lines import serve

DIMENSIONS: Final = 1536
_HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\n"
_STREAM_HEAD: Final = _HEAD % b"text/event-stream" + b"Transfer-Encoding: chunked\r\n\r\n"
_MODEL: Final = re.compile(r"c(\d+)r([\d.]+)")
_VECTOR: Final = base64.b64encode(
    array("f", [(n * 7919 % 1000) / 1000 - 0.5 for n in range(DIMENSIONS)]).tobytes()
).decode()


class _Connection(asyncio.Protocol):
    """One connection of a client."""

    def __init__(self) -> None:
        self._buffer = b""
        self._task: asyncio.Task[None] | None = None
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self._task is not None:
            self._task.cancel("the client has closed the connection")

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
        size = int(length[1]) if length else 0
        if len(rest) < size:
            return
        self._buffer = rest[size:]
        self._answer(head, json.loads(rest[:size] or b"{}"))

    def _answer(self, head: bytes, body: dict[str, Any]) -> None:
        if b"/embeddings" in head.partition(b"\r\n")[0]:
            self._transport.write(_embeddings(len(body["input"])))
        else:
            self._task = asyncio.get_running_loop().create_task(self._stream(body))

    async def _stream(self, body: dict[str, Any]) -> None:
        found = _MODEL.fullmatch(body["model"])
        assert found is not None
        chunks, rate = int(found[1]), float(found[2])
        loop = asyncio.get_running_loop()
        start = loop.time()
        self._transport.write(_STREAM_HEAD)
        piece = _event(body["model"], {"content": "...................."}, None)
        for index in range(chunks):
            pause = start + index / rate - loop.time() if rate else 0
            if pause > 0:
                await asyncio.sleep(pause)
            self._transport.write(piece)
        last = _event(body["model"], {}, "stop") + _usage(body["model"], chunks)
        self._transport.write(last + _frame(b"data: [DONE]\n\n") + b"0\r\n\r\n")


def _event(model: str, delta: dict[str, Any], finish: str | None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return _data({**_same(model), "choices": [choice], "usage": None})


def _usage(model: str, chunks: int) -> bytes:
    usage = {"prompt_tokens": 1, "completion_tokens": chunks, "total_tokens": chunks + 1}
    return _data({**_same(model), "choices": [], "usage": usage})


def _same(model: str) -> dict[str, Any]:
    return {
        "id": "chatcmpl-0123456789abcdef0123456789",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": model,
        "system_fingerprint": "fp_0123456789",
    }


def _data(value: dict[str, Any]) -> bytes:
    return _frame(b"data: " + json.dumps(value, separators=(",", ":")).encode() + b"\n\n")


def _frame(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def _embeddings(count: int) -> bytes:
    rows = [{"object": "embedding", "index": n, "embedding": _VECTOR} for n in range(count)]
    usage = {"prompt_tokens": count, "total_tokens": count}
    body = json.dumps({"object": "list", "data": rows, "model": "m", "usage": usage}).encode()
    return _HEAD % b"application/json" + b"Content-Length: %d\r\n\r\n" % len(body) + body


def _run(address: "SimpleQueue[str]") -> None:
    async def listen() -> None:
        server = await asyncio.get_running_loop().create_server(_Connection, "127.0.0.1", 0)
        address.put(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
        await server.serve_forever()

    uvloop.run(listen())


def main() -> None:
    """Serve until stdin ends; the command `address` returns the base URL."""
    found: SimpleQueue[str] = SimpleQueue()
    threading.Thread(target=_run, args=(found,), daemon=True).start()
    url = found.get()

    async def address() -> str:
        return url

    serve({"address": address})


if __name__ == "__main__":
    main()
