"""Streams that are read all the time, while faults are injected."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Self

from invokeq import AsyncSession
from invokeq.errors import InvokeqError
from tests.chaos.account import Story
from tests.integration.conftest import stream_config, user
from tests.support.waiting import eventually_async

BOUND = 60.0
"""Seconds for anything here; far above what the promises allow."""


class Load:
    """Keeps `streams` invocations running, each of `chunks` chunks at `rate` a second."""

    def __init__(self, session: AsyncSession, streams: int, chunks: int, rate: float) -> None:
        self.stories: list[Story] = []
        self._session = session
        self._streams = streams
        self._chunks = chunks
        self._config = stream_config(chunks=chunks, rate=rate, chunk_size=8)
        self._stopping = False

    @classmethod
    @asynccontextmanager
    async def running(
        cls, url: str, streams: int, chunks: int, rate: float
    ) -> AsyncGenerator[Self]:
        """Run the load inside the block; afterwards what has begun is read to its end."""
        async with AsyncSession("chaos", redis=url, orphan_timeout=30) as session:
            load = cls(session, streams, chunks, rate)
            slots = [asyncio.create_task(load._slot()) for _ in range(streams)]
            try:
                await load.flows()
                yield load
                load._stopping = True
                await asyncio.wait_for(asyncio.gather(*slots), BOUND)
            finally:
                for slot in slots:
                    slot.cancel()
                await asyncio.gather(*slots, return_exceptions=True)

    async def flows(self) -> None:
        """Wait until every slot has a stream that has begun to speak."""
        await self._until(
            lambda: len(self.open) >= self._streams and all(story.heard for story in self.open)
        )

    async def recovery(self, since: float) -> None:
        """Wait until every stream that is open now has been heard of after `since`."""
        hit = self.open
        await self._until(lambda: all(story.last_activity_at > since for story in hit))

    @property
    def open(self) -> list[Story]:
        """The invocations that have not ended."""
        return [story for story in self.stories if story.ended is None]

    async def _until(self, condition: Callable[[], bool]) -> None:
        await eventually_async("all streams go on", condition, within=BOUND)

    async def _slot(self) -> None:
        while not self._stopping:
            story = Story(self._chunks + 1)  # the vendor ends with one that has no text
            self.stories.append(story)
            try:
                async for chunk in self._session.model.llm.invoke(self._config, user("x")):
                    story.hear(chunk.delta.index)
            except InvokeqError as error:
                story.end(error)
            else:
                story.end()
