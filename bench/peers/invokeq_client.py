"""invokeq's own client under the bench's commands; the vendor is the scripted one."""

import asyncio
import os
import time
from collections.abc import Sequence
from typing import Any, Final

import redis
import redis.asyncio

from bench.peers.lines import serve
from bench.peers.spread import lateness
from invokeq import AsyncSession, Session
from invokeq.protocol import events
from invokeq.protocol.entities import (
    LLMModelConfig,
    PromptMessage,
    TextEmbeddingModelConfig,
    UserPromptMessage,
)
from invokeq.protocol.redis import keys
from invokeq.session_base import parts_of

PLUGIN: Final = "bench"
MESSAGES: Final[Sequence[PromptMessage]] = [UserPromptMessage(content="x")]
PAUSE: Final = 0.002
"""Seconds between calls, as in the peers' clients."""

GROUP: Final = 1000
"""Requests in one `submit_many`."""


def scripted(**plan: Any) -> LLMModelConfig:
    """Return the configuration of a model that follows the plan."""
    params = {"chunk_size": 20, "usage": False, **plan}
    return LLMModelConfig(
        provider="scripted", model="stream", mode="chat", completion_params=params
    )


NOOP: Final = scripted(chunks=1, chunk_size=1)


class _Commands:
    def __init__(self) -> None:
        self._url = os.environ["BENCH_REDIS_URL"]
        self._session = Session(PLUGIN, redis=self._url)

    async def open(self) -> None:
        self._session.workers()

    async def ping(self, times: int, pause: float) -> list[float]:
        """Return round trips of PING in ms, one every `pause` seconds."""
        taken: list[float] = []
        with redis.Redis.from_url(self._url, protocol=2) as client:
            for _ in range(times):
                begun = time.perf_counter()
                client.execute_command("PING")
                taken.append((time.perf_counter() - begun) * 1000)
                await asyncio.sleep(pause)
        return taken

    async def latency(self, times: int, model: str | None = None) -> list[float]:
        """Return the times from call to first received chunk in ms, one call at a time."""
        config = NOOP if model is None else _vendor_model(model)
        taken: list[float] = []
        for _ in range(times):
            begun = time.perf_counter()
            chunks = self._session.model.llm.invoke(config, MESSAGES)
            next(chunks)
            taken.append((time.perf_counter() - begun) * 1000)
            for _ in chunks:
                pass
            await asyncio.sleep(PAUSE)
        return taken

    async def fill(self, jobs: int) -> float:
        """Enqueue no-op invocations; return the seconds."""
        return await self.enqueue(jobs)

    async def enqueue(self, jobs: int, plugin: str = PLUGIN, seconds: float = 0.0) -> float:
        """Enqueue invocations of `seconds` each one by one; return the time of enqueueing."""
        config = scripted(chunks=1, first_chunk_delay=seconds) if seconds else NOOP
        with Session(plugin, redis=self._url) as session:
            session.workers()
            begun = time.perf_counter()
            for _ in range(jobs):
                session.model.llm.submit(config, MESSAGES, detached=True)
            return time.perf_counter() - begun

    async def submit_many(self, jobs: int) -> float:
        """Enqueue no-op invocations in groups; return the seconds."""
        prepare = self._session.model.llm.prepare
        begun = time.perf_counter()
        for at in range(0, jobs, GROUP):
            calls = [prepare(NOOP, MESSAGES, detached=True) for _ in range(min(GROUP, jobs - at))]
            self._session.submit_many(calls)
        return time.perf_counter() - begun

    async def lane_of_its_own(self, lanes: int, jobs: int) -> float:
        """Enqueue `jobs` no-op invocations into each of `lanes` lanes; return the seconds."""
        begun = time.perf_counter()
        for lane in range(lanes):
            await self.enqueue(jobs, plugin=f"lane{lane}")
        return time.perf_counter() - begun

    async def together(self, jobs: int, plugin: str, seconds: float) -> float:
        """Return the seconds until all of several concurrent invocations are done."""
        config = scripted(chunks=1, first_chunk_delay=seconds) if seconds else NOOP
        async with AsyncSession(plugin, redis=self._url) as session:
            await session.workers()
            begun = time.perf_counter()
            await asyncio.gather(
                *(session.model.llm.invoke(config, MESSAGES, stream=False) for _ in range(jobs))
            )
            return time.perf_counter() - begun

    async def streams(
        self, streams: int, chunks: int, rate: float, limit: float, model: str | None = None
    ) -> dict[str, Any]:
        """Run streams side by side and read them all; `limit` bounds the seconds."""
        paced = scripted(chunks=chunks, rate=rate)
        config = paced if model is None else _vendor_model(model)
        async with AsyncSession(PLUGIN, redis=self._url) as session:
            await session.workers()
            begun, cpu = time.time(), time.process_time()
            runs = [_Reading(session, config) for _ in range(streams)]
            await asyncio.wait([asyncio.create_task(run.read()) for run in runs], timeout=limit)
            wall, cpu = time.time() - begun, time.process_time() - cpu
            delays, spans = await _late(session, runs, rate)
        arrived = [at for run in runs for at in run.arrivals]
        return {
            "wall": wall,
            "delivered": len(arrived),
            "ended": sum(run.ended > 0 for run in runs),
            "longest": max(spans, default=wall),
            "client_us": cpu / max(1, len(arrived)) * 1e6,
            "chunks_s": len(arrived) / max(1e-9, max(arrived, default=0) - min(arrived, default=0)),
            **(lateness(delays) if delays and rate else {}),
        }

    async def hold(self, streams: int) -> None:
        """Start detached invocations that emit one chunk and then hang."""
        config = scripted(chunks=10, hang_after=1)
        for _ in range(streams):
            self._session.model.llm.submit(config, MESSAGES, detached=True)

    async def embed(self, texts: int, model: str) -> float:
        """Return the seconds of one embedding call."""
        provider, _, name = model.partition("/")
        config = TextEmbeddingModelConfig(provider=provider, model=name)
        batch = [f"text {n}" for n in range(texts)]
        begun = time.perf_counter()
        result = self._session.model.text_embedding.invoke(config, batch)
        taken = time.perf_counter() - begun
        assert len(result.embeddings) == texts
        return taken


class _Reading:
    """One stream and the arrival times of its chunks."""

    def __init__(self, session: AsyncSession, config: LLMModelConfig) -> None:
        self.arrivals: list[float] = []
        self.ended = 0.0
        self.request_id = ""
        self._session = session
        self._config = config

    async def read(self) -> None:
        arrived, now = self.arrivals.append, time.time
        invocation = await self._session.model.llm.submit(self._config, MESSAGES)
        self.request_id = invocation.request_id
        async for _ in invocation:
            arrived(now())
        self.ended = now()


async def _late(
    session: AsyncSession, runs: list[_Reading], rate: float
) -> tuple[list[float], list[float]]:
    """Compare arrivals with the schedule that began when the worker started the invocation.

    Return the delays of chunks after their `started` event, and the spans of streams, in seconds.
    """
    delays: list[float] = []
    spans: list[float] = []
    async with redis.asyncio.Redis.from_url(parts_of(session).transport.url, protocol=2) as client:
        for run in (run for run in runs if run.arrivals):
            key = keys.events(run.request_id)
            entries: Any = await client.xrange(key, count=1)
            start = float(events.unpack(*entries[0])[0].data["at"])
            if rate:
                delays += [at - start - n / rate for n, at in enumerate(run.arrivals)]
            spans.append((run.ended or time.time()) - start)
    return delays, spans


def _vendor_model(name: str) -> LLMModelConfig:
    provider, _, model = name.partition("/")
    return LLMModelConfig(provider=provider, model=model, mode="chat", completion_params={})


if __name__ == "__main__":
    commands = _Commands()
    names = [name for name in dir(commands) if not name.startswith("_")]
    serve({name: getattr(commands, name) for name in names})
