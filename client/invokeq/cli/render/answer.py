"""Prints an LLM's streamed answer to stdout, then a summary line to stderr."""

import sys
from collections.abc import Iterable, Iterator
from typing import Any

from invokeq.cli.render.meter import Meter, cost_parts, write_summary
from invokeq.cli.render.output import write, write_json
from invokeq.cli.render.text import printable
from invokeq.invocation import Invocation
from invokeq.protocol.entities import LLMResult, LLMResultChunk, LLMResultWithStructuredOutput
from invokeq.results.decode import ANY


def show_answer(
    invocation: Invocation[Any, Any],
    chunks: Iterable[LLMResultChunk],
    meter: Meter,
    *,
    whole: bool = False,
    as_json: bool = False,
    timed: bool = True,
) -> None:
    """Read an answer to the end; print the answer to stdout and a summary to stderr.

    With `whole`, wait for the end, and print the JSON of the result instead of chunks.
    """
    seen = _Usage()
    watched = seen.watch(meter.watch(chunks))
    if whole:
        result = ANY.result_of(watched)
        _show_whole(result, as_json)
    elif as_json:
        result = ANY.result_of(_as_json(watched))
    else:
        result = ANY.result_of(_as_text(watched))
    times = meter.times("chunk") if timed else []
    usage = result.usage if seen.any else None
    write_summary(invocation, [*cost_parts(usage), *times, f"chunks: {meter.count}"])


class _Usage:
    """Records whether any chunk has usage; a result always has usage, even if only zeros."""

    any = False

    def watch(self, chunks: Iterable[LLMResultChunk]) -> Iterator[LLMResultChunk]:
        for chunk in chunks:
            self.any = self.any or chunk.delta.usage is not None
            yield chunk


def _show_whole(result: LLMResult, as_json: bool) -> None:
    if as_json:
        write(f"{result.model_dump_json()}\n")
    elif isinstance(result, LLMResultWithStructuredOutput) and result.structured_output is not None:
        write_json(result.structured_output, indent=True)
    else:
        for _ in _as_text([result.to_llm_result_chunk()]):
            pass


def _as_text(chunks: Iterable[LLMResultChunk]) -> Iterator[LLMResultChunk]:
    """Print the text of each chunk, and each tool call on a line of its own; pass chunks on."""
    plain = printable if sys.stdout.isatty() else str
    mid_line = False
    try:
        for chunk in chunks:
            message = chunk.delta.message
            if text := plain(message.get_text_content()):
                write(text)
                mid_line = not text.endswith("\n")
            for call in message.tool_calls:
                before = "\n" if mid_line else ""
                write(f"{before}tool call: {call.model_dump_json()}\n")
                mid_line = False
            yield chunk
    finally:
        if mid_line:
            write("\n")


def _as_json(chunks: Iterable[LLMResultChunk]) -> Iterator[LLMResultChunk]:
    for chunk in chunks:
        write(f"{chunk.model_dump_json()}\n")
        yield chunk
