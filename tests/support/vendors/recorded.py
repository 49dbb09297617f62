"""A small HTTP server that answers as the documentation of an API says, and records requests.

Tests use the server for APIs without a published simulator, and to see requests byte by byte.
Answers come from a queue; the last answer repeats.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.message import Message
from email.parser import BytesParser
from http import HTTPStatus
from typing import Any, Literal, cast

import orjson

End = Literal["done", "cut", "hang", "gone"]


@dataclass(frozen=True)
class Asked:
    """One recorded request."""

    path: str
    headers: Mapping[str, str]
    content: bytes

    @property
    def body(self) -> Any:
        """The JSON of the request."""
        return orjson.loads(self.content)

    def form(self) -> dict[str, Message]:
        """Return the parts of a multipart form by name."""
        head = f"Content-Type: {self.headers['content-type']}\r\n\r\n".encode()
        parts = cast(list[Message], BytesParser().parsebytes(head + self.content).get_payload())
        return {str(part.get_param("name", header="content-disposition")): part for part in parts}


@dataclass(frozen=True)
class Answer:
    """One answer; after its pieces the answer is complete, breaks off, or hangs.

    With no pieces and `hang`, not even headers are sent. With `gone` the connection closes before
    the first byte.
    """

    pieces: tuple[bytes, ...] = ()
    status: int = HTTPStatus.OK
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    end: End = "done"


def said(value: Any, status: int = HTTPStatus.OK, **headers: str) -> Answer:
    """Return an answer with JSON; underscores in the names of headers stand for hyphens."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    content = {"content-type": "application/json", **named}
    return Answer((orjson.dumps(value),), status, content)


def streamed(*events: Any, end: End = "done") -> Answer:
    """Return an answer with server-sent events, named by their type as vendors do.

    Bytes are sent unchanged.
    """
    pieces = tuple(
        event
        if isinstance(event, bytes)
        else b"event: %b\ndata: %b\n\n" % (str(event["type"]).encode(), orjson.dumps(event))
        for event in events
    )
    return Answer(pieces, headers={"content-type": "text/event-stream"}, end=end)


class Recorded:
    """The server; `open` counts connected clients, `seen` all clients so far."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[Asked] = []
        self.answers: list[Answer] = []
        self.open = 0
        self.seen = 0
        self._clients: set[asyncio.Task[None]] = set()

    def answer(self, *answers: Answer) -> None:
        """Set the queue of answers."""
        self.answers = list(answers)

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client in a task of its own."""
        task = asyncio.create_task(self._serve(reader, writer))
        self._clients.add(task)
        task.add_done_callback(self._clients.discard)

    async def close(self) -> None:
        """Drop all clients, and wait for their tasks."""
        for task in self._clients:
            task.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        self.seen += 1
        try:
            while await self._serve_one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            return  # the client has closed the connection
        finally:
            self.open -= 1
            writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; return whether the connection can be reused."""
        self.asked.append(await _read_request(reader))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer.end == "gone":
            return False
        if answer.pieces or answer.end != "hang":
            writer.write(_head(answer))
        for piece in answer.pieces:
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await writer.drain()
        if answer.end == "hang":
            await reader.read()  # returns when the client closes the connection
        elif answer.end == "done":
            writer.write(b"0\r\n\r\n")
            await writer.drain()
        return answer.end == "done"


def _head(answer: Answer) -> bytes:
    lines = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in answer.headers.items()]
    return ("\r\n".join([*lines, "transfer-encoding: chunked"]) + "\r\n\r\n").encode()


async def _read_request(reader: asyncio.StreamReader) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])
    }
    if headers.get("transfer-encoding") == "chunked":
        content = b"".join([piece async for piece in _chunks(reader)])
    else:
        content = await reader.readexactly(int(headers.get("content-length", "0")))
    return Asked(head[0].split(" ")[1], headers, content)


async def _chunks(reader: asyncio.StreamReader) -> AsyncGenerator[bytes, None]:
    while size := int((await reader.readuntil(b"\r\n")).strip(), 16):
        yield await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readuntil(b"\r\n")


@asynccontextmanager
async def recorded_server() -> AsyncGenerator[Recorded, None]:
    """Run the server in the current event loop."""
    recorded = Recorded()
    server = await asyncio.start_server(recorded.accept, "127.0.0.1", 0)
    recorded.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield recorded
    finally:
        server.close()
        await recorded.close()
