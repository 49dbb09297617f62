"""The client of a peer: enqueue jobs, and read the streams that the jobs write."""

import asyncio
import time
import uuid
from abc import ABC, abstractmethod
from typing import Any, Final

import redis

from bench.peers import jobs
from bench.peers.lines import serve
from bench.peers.spread import lateness

AT_ONCE: Final = 50
"""The number of jobs that are enqueued side by side while a queue is filled."""

PAUSE: Final = 0.002
"""Seconds between calls, in which the worker finalizes the job and the loop cleans up."""

READ_SECONDS: Final = 30.0
BLOCK_MS: Final = 1000


class Client(ABC):
    """The part of the client that differs between peers."""

    async def open(self) -> None:
        """Connect; called once, before all other methods."""

    @abstractmethod
    async def say(self, stream: str) -> None:
        """Enqueue one no-op job."""

    async def tell(self, stream: str, chunks: int, rate: float) -> None:
        """Enqueue one job that streams."""
        raise NotImplementedError

    async def say_many(self, streams: list[str]) -> None:
        """Enqueue many no-op jobs as fast as the peer can."""
        for at in range(0, len(streams), AT_ONCE):
            await asyncio.gather(*map(self.say, streams[at : at + AT_ONCE]))


def run(client: Client) -> None:
    """Serve the bench's commands."""
    commands = _Commands(client)
    names = ("open", "latency", "fill", "enqueue", "streams")
    serve({name: getattr(commands, name) for name in names})


class _Commands:
    def __init__(self, client: Client) -> None:
        self._client = client
        timeout = READ_SECONDS + 5
        self._redis = redis.Redis.from_url(jobs.url(), socket_timeout=timeout, protocol=2)

    async def open(self) -> None:
        await self._client.open()

    async def latency(self, times: int) -> list[float]:
        """Return the times from enqueueing to the first received chunk in ms, one job at a time."""
        taken: list[float] = []
        for _ in range(times):
            stream = _name()
            begun = time.perf_counter()
            await self._client.say(stream)
            found = self._redis.xread({stream: "0-0"}, block=int(READ_SECONDS * 1000))
            taken.append((time.perf_counter() - begun) * 1000)
            if not found:
                raise TimeoutError("no chunk came")
            await asyncio.sleep(PAUSE)
        return taken

    async def fill(self, jobs: int) -> float:
        """Enqueue no-op jobs as fast as possible; return the seconds."""
        streams = [_name() for _ in range(jobs)]
        begun = time.perf_counter()
        await self._client.say_many(streams)
        return time.perf_counter() - begun

    async def enqueue(self, jobs: int) -> float:
        """Enqueue no-op jobs one by one; return the seconds."""
        streams = [_name() for _ in range(jobs)]
        begun = time.perf_counter()
        for stream in streams:
            await self._client.say(stream)
        return time.perf_counter() - begun

    async def streams(self, streams: int, chunks: int, rate: float, limit: float) -> dict[str, Any]:
        """Run streams side by side and read them all; `limit` bounds the seconds."""
        names = [_name() for _ in range(streams)]
        reader = StreamReader(self._redis, names)
        begun, cpu = time.time(), time.process_time()
        reading = asyncio.create_task(asyncio.to_thread(reader.read, begun + limit))
        for at in range(0, streams, AT_ONCE):  # redis-py's default pool has 100 connections
            some = names[at : at + AT_ONCE]
            await asyncio.gather(*(self._client.tell(name, chunks, rate) for name in some))
        await reading
        wall, cpu = time.time() - begun, time.process_time() - cpu
        return {
            "wall": wall,
            "delivered": len(reader.delays),
            "ended": streams - len(reader.open),
            "longest": max(reader.spans, default=wall),
            "client_us": cpu / max(1, len(reader.delays)) * 1e6,
            **(lateness(reader.delays) if reader.delays else {}),
        }


class StreamReader:
    """A reader of many streams over one connection, with one XREAD for all streams."""

    def __init__(self, client: Any, names: list[str]) -> None:
        self.delays: list[float] = []
        self.spans: list[float] = []
        self.open = {name.encode(): b"0-0" for name in names}
        self._client = client
        self._first_due: dict[bytes, float] = {}

    def read(self, until: float) -> None:
        """Read until every stream has ended, or the time is up."""
        connection = self._client.connection_pool.get_connection()
        try:
            while self.open and time.time() < until:
                command = ["XREAD", "BLOCK", BLOCK_MS, "STREAMS", *self.open, *self.open.values()]
                connection.send_command(*command)
                reply = connection.read_response()
                now = time.time()
                for name, entries in reply or ():
                    self._take(name, entries, now)
                time.sleep(0.001)  # coalesces entries, as any reader of many streams would
        finally:
            self._client.connection_pool.release(connection)

    def _take(self, name: bytes, entries: Any, now: float) -> None:
        for entry_id, fields in entries:
            self.open[name] = entry_id
            if fields[1] == b"chunk":
                due = float(fields[5])
                self.delays.append(now - due)
                self._first_due.setdefault(name, due)
            else:
                self.spans.append(now - self._first_due.get(name, now))
                del self.open[name]
                return


def _name() -> str:
    return f"bench:{uuid.uuid4().hex}"
