"""A vendor that speaks OpenAI's API, in a thread: for tests with real worker processes."""

import asyncio
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import orjson

from tests.support.vendors.recorded import Answer, Recorded, recorded_server, streamed
from tests.support.waiting import BOUND_SECONDS


@contextmanager
def vendor_server() -> Generator[Recorded]:
    """Run the server in a thread; the server answers from its queue."""
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()
    ready = threading.Event()
    servers: list[Recorded] = []

    async def serve() -> None:
        async with recorded_server() as server:
            servers.append(server)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        assert ready.wait(BOUND_SECONDS)
        yield servers[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(BOUND_SECONDS)
        loop.close()


def chat(*texts: str, end: str = "done") -> Answer:
    """Return the answer of a chat: chunks, and then an end as `end` says.

    `done` completes the answer, `cut` breaks the connection, `hang` sends no more bytes.
    """
    events = [_event({"choices": [{"index": 0, "delta": {"content": text}}]}) for text in texts]
    if end == "done":
        usage = {"prompt_tokens": 3, "completion_tokens": len(texts), "total_tokens": 9}
        choice: dict[str, Any] = {"index": 0, "delta": {}, "finish_reason": "stop"}
        events += [_event({"choices": [choice], "usage": usage}), b"data: [DONE]\n\n"]
    return streamed(*events, end=end)  # type: ignore[arg-type]


def _event(fields: dict[str, Any]) -> bytes:
    common = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return b"data: %b\n\n" % orjson.dumps({**common, **fields})
