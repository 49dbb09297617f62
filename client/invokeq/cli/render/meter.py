"""Times an answer, and prints cost and times to stderr."""

import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any, TypeVar

import typer

from invokeq.cli.render.text import amount, one_line
from invokeq.invocation import Invocation
from invokeq.protocol.entities import EmbeddingUsage, LLMUsage
from invokeq.protocol.errors import InvokeqError
from invokeq.protocol.usage import BillingUnit, UnitUsage, Usage

T = TypeVar("T")


class Meter:
    """Counts and times the items of an answer, in seconds since the meter was created."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._began = clock()
        self.count: int = 0
        self.first: float | None = None
        self.total: float = 0.0

    def watch(self, items: Iterable[T]) -> Iterator[T]:
        """Yield the items and count each."""
        try:
            for item in items:
                self._note()
                yield item
        finally:  # a consumer of one item never exhausts the generator
            self.total = self._clock() - self._began

    async def watch_async(self, items: AsyncIterable[T]) -> AsyncIterator[T]:
        """Yield the items and count each, on asyncio."""
        try:
            async for item in items:
                self._note()
                yield item
        finally:
            self.total = self._clock() - self._began

    def _note(self) -> None:
        self.count += 1
        if self.first is None:
            self.first = self._clock() - self._began

    def times(self, item: str | None = None) -> list[str]:
        """Return the total time, after the time to the first item if `item` names the items."""
        first = self.first if item is not None else None
        before = [] if first is None else [f"first {item}: {first:.3f} s"]
        return [*before, f"total: {self.total:.3f} s"]


def optional_cost(usage: Usage | None) -> list[str]:
    """Return `cost_parts` of a usage, and no parts without usage."""
    return [] if usage is None else cost_parts(usage)


def cost_parts(usage: Usage | None) -> list[str]:
    """Return the tokens or other units of an answer, and the price."""
    match usage:
        case None:
            return ["tokens: not reported"]
        case LLMUsage():
            parts = [f"tokens: {usage.prompt_tokens} prompt, {usage.completion_tokens} completion"]
        case EmbeddingUsage():
            parts = [f"tokens: {usage.tokens}"]
        case UnitUsage():
            plural = "searches" if usage.unit is BillingUnit.SEARCH else f"{usage.unit.value}s"
            parts = [f"{plural}: {amount(usage.amount)}"]
    if usage.total_price:
        parts.append(f"price: {amount(usage.total_price)} {usage.currency}")
    return parts


def write_summary(invocation: Invocation[Any, Any], parts: list[str]) -> None:
    """Print the summary line: cost and times, worker, request id."""
    worker = None
    # One more round trip, after the answer: only Redis knows which worker ran the invocation.
    with suppress(InvokeqError):  # the answer is complete; a missing worker name is no failure
        worker = invocation.status().worker
    parts = [*parts, f"worker: {worker or 'unknown'}", f"request: {invocation.request_id}"]
    typer.secho(one_line("; ".join(parts)), err=True, dim=True)
