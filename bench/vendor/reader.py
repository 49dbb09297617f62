"""Read a vendor's streams in one process, without Redis: by the bare SDK, or by our provider."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, Final

import openai

from bench.peers.lines import serve
from invokeq.protocol.entities import LLMMode, UserPromptMessage
from invokeq.protocol.requests import LLMRequest, TextEmbeddingRequest, new_request_id
from invokeq_providers import Provider, build_providers
from invokeq_providers.calls import Services
from invokeq_providers.calls import serve as serve_call

NAME: Final = "sse"
CONNECTIONS: Final = 1000


class _Reader:
    def __init__(self, url: str) -> None:
        self._url = url
        self._sdk: openai.AsyncOpenAI | None = None
        self._provider: Provider | None = None

    async def read(self, way: str, streams: int, model: str) -> dict[str, float]:
        """Read streams side by side; return the chunks and the CPU seconds of this process."""
        await self._count(way, model)
        cpu = time.process_time()
        counts = await asyncio.gather(*(self._count(way, model) for _ in range(streams)))
        cpu = time.process_time() - cpu
        return {"chunks": sum(counts), "cpu": cpu}

    async def first(self, way: str, times: int, model: str) -> list[float]:
        """Return the times from call to first chunk in ms, one call at a time."""
        taken: list[float] = []
        for _ in range(times):
            begun = time.perf_counter()
            async with aclosing(self._chunks(way, model)) as chunks:
                await anext(chunks)
                taken.append((time.perf_counter() - begun) * 1000)
                async for _ in chunks:
                    pass
        return taken

    async def embed(self, way: str, texts: int, model: str) -> float:
        """Return the seconds of one embedding call, by the SDK or by the provider.

        The provider keeps packed numbers; the SDK makes lists of floats.
        """
        batch = [f"text {n}" for n in range(texts)]
        if way == "sdk":
            begun = time.perf_counter()
            answer = await self._open_sdk().embeddings.create(model=model, input=batch)
            taken = time.perf_counter() - begun
            assert len(answer.data) == texts
            assert isinstance(answer.data[0].embedding, list)
            return taken
        request = TextEmbeddingRequest(provider=NAME, model=model, texts=batch)
        services = await self._services()
        begun = time.perf_counter()
        async with aclosing(serve_call(request, services)) as pieces:
            async for _ in pieces:
                pass
        return time.perf_counter() - begun

    async def _count(self, way: str, model: str) -> int:
        count = 0
        async for _ in self._chunks(way, model):
            count += 1
        return count

    def _chunks(self, way: str, model: str) -> Any:
        return self._by_sdk(model) if way == "sdk" else self._by_provider(model)

    async def _by_sdk(self, model: str) -> AsyncIterator[Any]:
        stream = await self._open_sdk().chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": "x"}],
            stream=True,
            stream_options={"include_usage": True},
        )
        async with stream:
            async for chunk in stream:
                if chunk.choices:
                    yield chunk

    def _open_sdk(self) -> openai.AsyncOpenAI:
        if self._sdk is None:
            self._sdk = openai.AsyncOpenAI(
                api_key="none",
                base_url=self._url,
                max_retries=0,
                http_client=openai.DefaultAioHttpClient(),
            )
        return self._sdk

    async def _by_provider(self, model: str) -> AsyncIterator[Any]:
        request = LLMRequest(
            provider=NAME,
            model=model,
            mode=LLMMode.CHAT.value,
            completion_params={},
            prompt_messages=[UserPromptMessage(content="x")],
            stream=True,
        )
        async with aclosing(serve_call(request, await self._services())) as pieces:
            async for piece in pieces:
                yield piece

    async def _services(self) -> Services:
        if self._provider is None:
            table = {NAME: {"type": "openai", "base_url": self._url}}
            self._provider = build_providers(table)[NAME]
            await self._provider.start()
        provider = self._provider
        return Services(
            request_id=new_request_id(),
            user=None,
            provider=lambda _: provider,
            file=None,
            summary_model=None,
            heartbeat=lambda: None,
        )


if __name__ == "__main__":
    reader = _Reader(sys.argv[1])
    serve({"read": reader.read, "first": reader.first, "embed": reader.embed})
