"""A constant load of streams and readers, into which faults are injected."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Self

from invokeq import AsyncSession
from invokeq.errors import InvokeqError
from tests.chaos.audit import StreamAudit
from tests.integration.conftest import stream_config, user
from tests.support.waiting import eventually_async

BOUND = 90.0
"""The longest wait for any condition, in seconds: far above the promised recovery times."""


class Load:
    """A load of `streams` invocations at a time, each of `chunks` chunks at `rate` a second."""

    def __init__(self, session: AsyncSession, streams: int, chunks: int, rate: float) -> None:
        self.audits: list[StreamAudit] = []
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
        """Run the load inside the block; at the end, read all open streams to the end."""
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
        """Wait until every slot has a stream with output."""
        await self._until(
            lambda: len(self.open) >= self._streams and all(audit.received for audit in self.open)
        )

    async def recovery(self, since: float) -> None:
        """Wait until every open stream has had an event or an end after `since`."""
        hit = self.open
        await self._until(lambda: all(audit.last_activity_at > since for audit in hit))

    @property
    def open(self) -> list[StreamAudit]:
        """The audits of all open streams."""
        return [audit for audit in self.audits if audit.ended is None]

    async def _until(self, condition: Callable[[], bool]) -> None:
        await eventually_async("all streams go on", condition, within=BOUND)

    async def _slot(self) -> None:
        while not self._stopping:
            audit = StreamAudit(self._chunks + 1)  # the vendor ends with one that has no text
            self.audits.append(audit)
            try:
                async for chunk in self._session.model.llm.invoke(self._config, user("x")):
                    audit.receive(chunk.delta.index)
            except InvokeqError as error:
                audit.end(error)
            else:
                audit.end()
