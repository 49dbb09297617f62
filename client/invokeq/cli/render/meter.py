"""Times an answer, and says on stderr what it took."""

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
    """Counts the items of an answer and times them, in seconds from the making of the meter."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._began = clock()
        self.count = 0
        self.first: float | None = None
        self.total = 0.0

    def watch(self, items: Iterable[T]) -> Iterator[T]:
        """Pass items on, counted."""
        try:
            for item in items:
                self._note()
                yield item
        finally:  # whoever wants one item only does not come back for the end
            self.total = self._clock() - self._began

    async def watch_async(self, items: AsyncIterable[T]) -> AsyncIterator[T]:
        """Pass items on, counted, on asyncio."""
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
        """Say how long it took, and, where it is worth saying, how long until the first item."""
        first = self.first if item is not None else None
        before = [] if first is None else [f"first {item}: {first:.3f} s"]
        return [*before, f"total: {self.total:.3f} s"]


def optional_cost(usage: Usage | None) -> list[str]:
    """As `cost_parts`, for calls that mostly have no usage: nothing is said of none."""
    return [] if usage is None else cost_parts(usage)


def cost_parts(usage: Usage | None) -> list[str]:
    """Say what an answer took of tokens and money."""
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
    """Write the last line: what the answer took, who gave it, and under which id."""
    worker = None
    with suppress(InvokeqError):  # the answer is here; a line less about it is no failure
        worker = invocation.status().worker
    parts = [*parts, f"worker: {worker or 'unknown'}", f"request: {invocation.request_id}"]
    typer.secho(one_line("; ".join(parts)), err=True, dim=True)
