"""Prints results of models other than LLMs: vectors, rankings, texts, verdicts."""

from collections.abc import Iterable
from typing import Any

from invokeq.cli.render.meter import Meter, cost_parts, optional_cost, write_summary
from invokeq.cli.render.output import write, write_json, write_plain
from invokeq.cli.render.text import counted
from invokeq.invocation import Invocation
from invokeq.results.decode import EMBEDDING, MODERATION, SUMMARY
from invokeq.results.ranking import RankedBatch, RankingEnd, join_ranking
from invokeq.results.vectors import EmbeddingEnd, VectorBatch


def show_vectors(
    invocation: Invocation[Any, Any],
    items: Iterable[VectorBatch | EmbeddingEnd],
    meter: Meter,
    *,
    as_json: bool,
    timed: bool = True,
) -> None:
    """Print the number and the dimensions of the vectors; as JSON, the vectors themselves."""
    result = EMBEDDING.result_of(meter.watch(items))
    count = len(result.embeddings)
    if as_json:
        write_json(
            {
                **result.model_dump(mode="json", exclude={"embeddings"}),
                "embeddings": result.embeddings,
            }
        )
    else:
        width = len(result.embeddings[0]) if count else 0
        write(f"{counted(count, 'vector')} of {counted(width, 'dimension')}\n")
    write_summary(invocation, [*cost_parts(result.usage), *(meter.times() if timed else [])])


def show_ranking(
    invocation: Invocation[Any, Any],
    items: Iterable[RankedBatch | RankingEnd],
    meter: Meter,
    *,
    as_json: bool,
    timed: bool = True,
) -> None:
    """Print the documents, best first, with score and original index.

    Only the caller of a ranking has the texts, so `attach` prints no texts.
    """
    from invokeq.cli.render.table import print_table

    result = join_ranking(meter.watch(items))
    if as_json:
        write(f"{result.model_dump_json()}\n")
    elif result.docs:
        shown = (
            ("score", "index", "text") if any(d.text for d in result.docs) else ("score", "index")
        )
        rows = [(f"{doc.score:.4f}", str(doc.index), doc.text)[: len(shown)] for doc in result.docs]
        print_table(shown, rows, right=("score", "index"))
    parts = [f"documents: {len(result.docs)}", *optional_cost(invocation.usage)]
    write_summary(invocation, [*parts, *(meter.times() if timed else [])])


def show_text(
    invocation: Invocation[Any, Any],
    items: Iterable[str],
    meter: Meter,
    *,
    field: str = "result",
    as_json: bool,
    timed: bool = True,
) -> None:
    """Print a text; `field` is the key in the JSON."""
    text = SUMMARY.result_of(meter.watch(items))
    if as_json:
        write_json({field: text})
    else:
        write_plain(text)
    parts = [f"characters: {len(text)}", *optional_cost(invocation.usage)]
    write_summary(invocation, [*parts, *(meter.times() if timed else [])])


def show_verdict(
    invocation: Invocation[Any, Any],
    items: Iterable[bool],
    meter: Meter,
    *,
    as_json: bool,
    timed: bool = True,
) -> bool:
    """Print a verdict and return the verdict."""
    sensitive = MODERATION.result_of(meter.watch(items))
    if as_json:
        write_json({"result": sensitive})
    else:
        write("sensitive\n" if sensitive else "clean\n")
    write_summary(invocation, [*optional_cost(invocation.usage), *(meter.times() if timed else [])])
    return sensitive
