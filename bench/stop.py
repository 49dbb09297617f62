"""Measure the time from stopping an invocation until its vendor sees the connection closed.

    python -m bench.stop [--calls 100] [--beside 50] [--out FILE]

A real HTTP server speaks OpenAI's API, sends a chunk of each answer every 20 ms for ever, and
records when the connection of each request closes. `--beside` answers stream beside the stopped
answer. The clock starts right before the stopping call; both ends are on this machine.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from redis import Redis
from rq.command import send_stop_job_command  # pyright: ignore[reportUnknownVariableType] -- of rq

from invokeq import Invocation, Session
from invokeq.protocol.codec import OrjsonSerializer
from invokeq.protocol.entities import UserPromptMessage
from invokeq_worker.process.embedded_server import EmbeddedValkey

PACE: Final = 0.02
CHUNK: Final = b'data: {"choices":[{"index":0,"delta":{"content":"word "}}]}\n\n'
HEAD: Final = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
)
START_SECONDS: Final = 30.0
CLOSED_SECONDS: Final = 10.0

Stop = Callable[[Invocation[Any, Any], str], object]


class Vendor:
    """The server; `closed` maps the prompt of each request to a future of the closing time."""

    def __init__(self) -> None:
        self.url = ""
        self.closed: dict[str, Future[float]] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request until the client closes the connection."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        size = int(head.partition("content-length:")[2].split("\r\n")[0])
        prompt = json.loads(await reader.readexactly(size))["messages"][-1]["content"]
        talking = asyncio.create_task(self._talk(writer))
        try:
            with suppress(ConnectionError):
                await reader.read()  # returns when the client closes the connection
        finally:
            self.closed[prompt].set_result(time.perf_counter())
            talking.cancel()
            writer.close()

    async def _talk(self, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            writer.write(HEAD)
            while True:
                writer.write(b"%x\r\n%b\r\n" % (len(CHUNK), CHUNK))
                await writer.drain()
                await asyncio.sleep(PACE)


@contextmanager
def running_vendor() -> Generator[Vendor]:
    """Run the server in a thread."""
    vendor, loop, ready = Vendor(), asyncio.new_event_loop(), threading.Event()

    async def start() -> None:
        server = await asyncio.start_server(vendor.serve, "127.0.0.1", 0)
        vendor.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        ready.set()

    loop.create_task(start())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    ready.wait(START_SECONDS)
    try:
        yield vendor
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


@contextmanager
def running_worker(url: str, vendor: Vendor) -> Generator[None]:
    """Run one worker process."""
    text = f'[redis]\nurl = "{url}"\n[pools.main]\nqueues = ["llm"]\n'
    text += f'[providers.openai]\nbase_url = "{vendor.url}"\napi_key = "none"\n'
    text += '[log]\nlevel = "error"\n'
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "invokeq.toml")
        path.write_text(text)
        command = [sys.executable, "-m", "invokeq_worker", "--pool", "main", "--config", str(path)]
        worker = subprocess.Popen(command)
        try:
            with Session("probe", redis=url) as session:
                end = time.monotonic() + START_SECONDS
                while not session.workers() and time.monotonic() < end:
                    time.sleep(0.05)
            yield
        finally:
            worker.terminate()
            worker.terminate()
            worker.wait()


def by_rq(answer: Invocation[Any, Any], url: str) -> None:
    """Stop the invocation as RQ's tools do."""
    with Redis.from_url(url, protocol=2) as client:
        send_stop_job_command(client, answer.request_id, OrjsonSerializer)


def by_leaving(answer: Invocation[Any, Any], url: str) -> None:
    """Close the handle, as leaving a `with` does."""
    answer.close()


STOPS: Final[dict[str, Stop]] = {
    "close()": lambda answer, _: answer.close(),
    "break": by_leaving,
    "cancel()": lambda answer, _: answer.cancel(),
    "RQ's stop command": by_rq,
}


def begin(session: Session, vendor: Vendor, name: str) -> Invocation[Any, Any]:
    """Start an answer, and wait for the first chunk."""
    vendor.closed[name] = Future()
    model = {"provider": "openai", "model": "m", "mode": "chat"}
    answer = session.model.llm.submit(model, [UserPromptMessage(content=name)])
    answer_items = iter(answer)
    next(answer_items)
    return answer


def measure(session: Session, vendor: Vendor, url: str, way: str, calls: int) -> list[float]:
    """Stop `calls` answers one after the other; return the times in milliseconds."""
    taken: list[float] = []
    for i in range(calls):
        name = f"{way} {i}"
        answer = begin(session, vendor, name)
        began = time.perf_counter()
        STOPS[way](answer, url)
        taken.append((vendor.closed[name].result(CLOSED_SECONDS) - began) * 1000)
        answer.close()
    return taken


def main() -> int:
    """Measure every way to stop, print a table, and write the raw figures to `--out`."""
    parser = argparse.ArgumentParser(prog="python -m bench.stop")
    parser.add_argument("--calls", type=int, default=100)
    parser.add_argument("--beside", type=int, default=50)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    found: dict[str, list[float]] = {}
    with (
        EmbeddedValkey.start() as server,
        running_vendor() as vendor,
        running_worker(server.url, vendor),
        Session("bench", redis=server.url) as session,
    ):
        others = [begin(session, vendor, f"beside {i}") for i in range(arguments.beside)]
        for other in others:
            other.detach()
        for way in STOPS:
            found[way] = measure(session, vendor, server.url, way, arguments.calls)
        for other in others:
            other.cancel()
    print(f"{arguments.calls} answers each, {arguments.beside} more beside them; ms to closed")
    for way, taken in found.items():
        p99 = statistics.quantiles(taken, n=100)[98]
        print(f"{way:<20} p50 {statistics.median(taken):6.1f}   p99 {p99:6.1f}")
    if arguments.out:
        arguments.out.write_text(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
