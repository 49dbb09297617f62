"""Shows an LLM's answer on stdout while it is made, and afterwards one line about it on stderr."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

import typer

from invokeq.cli.text import amount, one_line, printable
from invokeq.core.answers import ANY
from invokeq.invocation import Invocation
from invokeq.protocol.entities import LLMResult, LLMResultChunk, LLMUsage
from invokeq.protocol.errors import InvokeqError


class Meter:
    """Counts the chunks of an answer and times them, in seconds from the making of the meter."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._began = clock()
        self.chunks = 0
        self.first: float | None = None
        self.total = 0.0
        self.has_usage = False

    def watch(self, chunks: Iterable[LLMResultChunk]) -> Iterator[LLMResultChunk]:
        """Pass chunks on, counted."""
        for chunk in chunks:
            self.chunks += 1
            if self.first is None:
                self.first = self._clock() - self._began
            self.has_usage = self.has_usage or chunk.delta.usage is not None
            yield chunk
        self.total = self._clock() - self._began


def show(
    invocation: Invocation[LLMResultChunk, LLMResult],
    meter: Meter,
    *,
    whole: bool = False,
    as_json: bool = False,
    timed: bool = True,
) -> None:
    """Read an invocation to its end: its answer to stdout, the summary to stderr.

    With `whole` nothing is shown before the end, and the JSON is that of the result, not of chunks.
    """
    chunks = meter.watch(invocation)
    if whole:
        result = ANY.result_of(iter(chunks))
        if as_json:
            _write(f"{result.model_dump_json()}\n")
        else:
            _consume(_as_text([result.to_llm_result_chunk()]))
    elif as_json:
        result = ANY.result_of(iter(_as_json(chunks)))
    else:
        result = ANY.result_of(iter(_as_text(chunks)))
    line = summary(
        result.usage if meter.has_usage else None,
        meter if timed else None,
        chunks=meter.chunks,
        worker=_worker(invocation),
        request_id=invocation.request_id,
    )
    typer.secho(one_line(line), err=True, dim=True)


def summary(
    usage: LLMUsage | None,
    times: Meter | None,
    *,
    chunks: int,
    worker: str | None,
    request_id: str,
) -> str:
    """Say in one line what an answer took."""
    parts = ["tokens: not reported"]
    if usage is not None:
        parts = [f"tokens: {usage.prompt_tokens} prompt, {usage.completion_tokens} completion"]
        if usage.total_price:
            parts.append(f"price: {amount(usage.total_price)} {usage.currency}")
    if times is not None and times.first is not None:
        parts.append(f"first chunk: {times.first:.3f} s")
    if times is not None:
        parts.append(f"total: {times.total:.3f} s")
    parts += [f"chunks: {chunks}", f"worker: {worker or 'unknown'}", f"request: {request_id}"]
    return "; ".join(parts)


def _as_text(chunks: Iterable[LLMResultChunk]) -> Iterator[LLMResultChunk]:
    """Write the text of each chunk as it comes, and each tool call as a line of its own."""
    plain = printable if sys.stdout.isatty() else str
    mid_line = False
    try:
        for chunk in chunks:
            message = chunk.delta.message
            if text := plain(message.get_text_content()):
                _write(text)
                mid_line = not text.endswith("\n")
            for call in message.tool_calls:
                before = "\n" if mid_line else ""
                _write(f"{before}tool call: {call.model_dump_json()}\n")
                mid_line = False
            yield chunk
    finally:
        if mid_line:
            _write("\n")


def _as_json(chunks: Iterable[LLMResultChunk]) -> Iterator[LLMResultChunk]:
    for chunk in chunks:
        _write(f"{chunk.model_dump_json()}\n")
        yield chunk


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _consume(chunks: Iterator[LLMResultChunk]) -> None:
    for _ in chunks:
        pass


def _worker(invocation: Invocation[LLMResultChunk, LLMResult]) -> str | None:
    with suppress(InvokeqError):  # the answer is here; a line less about it is no failure
        return invocation.status().worker
    return None
