"""Prints an answer of any kind, recognized by the first item."""

from collections.abc import Iterable
from itertools import chain
from typing import Any

from invokeq.cli.render.answer import show_answer
from invokeq.cli.render.audio import check_output, show_audio
from invokeq.cli.render.meter import Meter
from invokeq.cli.render.results import show_ranking, show_text, show_vectors, show_verdict
from invokeq.invocation import Invocation
from invokeq.results.ranking import RankedBatch, RankingEnd
from invokeq.results.speech import AudioSegment
from invokeq.results.vectors import EmbeddingEnd, VectorBatch


def show_any(
    invocation: Invocation[Any, Any], meter: Meter, *, output: str | None, as_json: bool
) -> None:
    """Read an invocation to its end and print the answer, without times; `output` is for audio."""
    # A stream does not name its kind, but the items of every kind have a class of their own.
    items = iter(invocation)
    first = next(items, None)
    rest: Iterable[Any] = () if first is None else chain([first], items)
    match first:
        case VectorBatch() | EmbeddingEnd():
            show_vectors(invocation, rest, meter, as_json=as_json, timed=False)
        case AudioSegment():
            check_output(output, as_json=as_json)
            show_audio(invocation, rest, meter, output=output, as_json=as_json, timed=False)
        case RankedBatch() | RankingEnd():
            show_ranking(invocation, rest, meter, as_json=as_json, timed=False)
        case str():
            show_text(invocation, rest, meter, as_json=as_json, timed=False)
        case bool():
            show_verdict(invocation, rest, meter, as_json=as_json, timed=False)
        case _:
            show_answer(invocation, rest, meter, as_json=as_json, timed=False)
