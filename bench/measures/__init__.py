"""All measures in the order of a run: names, titles and functions, one file a measure."""

from collections.abc import Callable
from typing import Final, NamedTuple

from bench.measures import (
    embeddings,
    enqueue,
    faults,
    first_chunk,
    flow,
    lanes,
    memory,
    noop,
    scaling,
    streams,
    vendor_streams,
)
from bench.setting import Setting


class Measure(NamedTuple):
    """One measure; `also` has the names and titles of figures that are measured with it."""

    name: str
    title: str
    run: Callable[[Setting], None]
    also: tuple[tuple[str, str], ...] = ()


MEASURES: Final = (
    Measure(
        first_chunk.NAME,
        first_chunk.TITLE,
        first_chunk.run,
        ((first_chunk.MEMORY, "Memory of an idle worker, all its processes"),),
    ),
    Measure(noop.NAME, noop.TITLE, noop.run),
    Measure(streams.NAME, streams.TITLE, streams.run),
    Measure(streams.MANY, streams.MANY_TITLE, streams.run_many),
    Measure(flow.NAME, flow.TITLE, flow.run),
    Measure(vendor_streams.NAME, vendor_streams.TITLE, vendor_streams.run),
    Measure(embeddings.NAME, embeddings.TITLE, embeddings.run),
    Measure(enqueue.NAME, enqueue.TITLE, enqueue.run),
    Measure(memory.NAME, memory.TITLE, memory.run),
    Measure(lanes.NAME, lanes.TITLE, lanes.run),
    Measure(faults.NAME, faults.TITLE, faults.run),
    Measure(scaling.NAME, scaling.TITLE, scaling.run),
)

__all__ = ["MEASURES", "Measure"]
