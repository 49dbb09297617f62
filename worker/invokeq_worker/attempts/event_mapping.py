"""Map a provider's outputs to the events of the result stream."""

import sys
from array import array

from invokeq.protocol import events
from invokeq.protocol.entities import LLMResultChunk
from invokeq.protocol.events import EventKind
from invokeq.protocol.usage import Usage
from invokeq_providers.calls import Output, Result, Scores, Segment, UsageReport, Vectors
from invokeq_providers.chunks import TextChunk
from invokeq_worker.streams.event_stream import EventWriter


def emit_output(stream: EventWriter, output: Output) -> Usage | None:
    """Append the event of an output to a stream, and return the reported usage."""
    match output:
        case TextChunk():  # first, because most outputs are chunks of text
            stream.chunk(output.json())
        case LLMResultChunk():
            stream.chunk(output.model_dump_json(exclude_defaults=True).encode())
            return output.delta.usage
        case Segment():
            stream.event(EventKind.SEGMENT, events.segment(output.mime_type), output.audio)
        case Vectors():
            stream.event(EventKind.VECTORS, *vectors_payload(output))
        case Scores():
            stream.event(EventKind.SCORES, events.scores(output.start, output.ranked))
        case UsageReport():
            return output.usage
        case Result():
            stream.event(EventKind.RESULT, events.result(dict(output.value)))
            return output.usage
    return None


def vectors_payload(vectors: Vectors) -> tuple[bytes, bytes]:
    """Return the JSON and the bytes of a `vectors` event.

    The bytes are little-endian floats, row after row, bit-exact.
    """
    first = vectors.rows[0]
    packed = b"".join(vectors.rows)
    if sys.byteorder == "big":
        numbers = array(first.typecode, packed)
        numbers.byteswap()
        packed = numbers.tobytes()
    dtype = f"<f{first.itemsize}"
    return events.vectors(vectors.start, len(vectors.rows), len(first), dtype), packed
