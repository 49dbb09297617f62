"""Read the answers of a plugin.

Raises one of `NO_ANSWER` for a malformed answer; pydantic's errors are ValueErrors. Error messages
of ours never quote an answer.
"""

from binascii import unhexlify
from collections.abc import Mapping, Sequence
from typing import Any, Final

from invokeq.protocol.audio import HEAD_BYTES, recognise
from invokeq.protocol.entities import (
    AIModelEntity,
    LLMResultChunk,
    LLMUsage,
    ModelPropertyKey,
)
from invokeq_providers.base import Embedded, Score, Speech
from invokeq_providers.chunks import last_chunk
from invokeq_providers.models.embedding_decode import rows_of
from invokeq_providers.models.properties import text_property

NO_ANSWER: Final = (ValueError, TypeError, LookupError, AttributeError)

_STOP: Final = "stop"
_MIME_TYPES: Final = {"mp3": "audio/mpeg", "m4a": "audio/mp4", "pcm": "audio/L16"}

Data = Mapping[str, Any]


class ChunkStream:
    """The chunks of one answer; an answer always ends with usage and a finish reason."""

    def __init__(self, model: str) -> None:
        self.chunks: int = 0
        self._model = model
        self._usage: LLMUsage | None = None
        self._reason: str | None = None
        self._last: LLMResultChunk | None = None

    def read(self, data: Data) -> LLMResultChunk:
        """Return the next chunk."""
        chunk = self._last = LLMResultChunk.model_validate(data)
        self.chunks += 1
        # Plugins report usage and finish reason in any chunk; the latest report counts.
        self._usage = chunk.delta.usage or self._usage
        self._reason = chunk.delta.finish_reason or self._reason
        return chunk

    def end(self) -> LLMResultChunk | None:
        """Return a chunk with the usage and finish reason missing at the end; None if both came.

        Raise ValueError for an answer without chunks.
        """
        if self._last is None:
            raise ValueError("it is empty")
        delta = self._last.delta
        if delta.usage is not None and delta.finish_reason is not None:
            return None
        return last_chunk(
            self._model,
            delta.index + 1,
            usage=self._usage or LLMUsage.empty_usage(),
            finish_reason=self._reason or _STOP,
        )

    def only(self, data: Data) -> LLMResultChunk:
        """Return an answer of one chunk; the SDK leaves the finish reason open."""
        chunk = self.read(data)
        delta = chunk.delta
        delta.usage = delta.usage or LLMUsage.empty_usage()
        delta.finish_reason = delta.finish_reason or _STOP
        return chunk


def one(messages: Sequence[Data]) -> Data:
    """Return the first message of a session. Raise ValueError without messages."""
    if not messages:
        raise ValueError("it is empty")
    return messages[0]


def embedded(data: Data) -> Embedded:
    """Return the vectors of an answer and the tokens spent."""
    usage: Data = data.get("usage") or {}
    tokens = int(usage.get("total_tokens") or usage.get("tokens") or 0)
    return Embedded(rows_of(data["embeddings"]), tokens)


def scores(data: Data) -> list[Score]:
    """Return the scores of documents."""
    return [Score(int(doc["index"]), float(doc["score"])) for doc in data["docs"]]


def speech(messages: Sequence[Data], facts: AIModelEntity) -> Speech:
    """Return the joined pieces of one audio file, with the type by plugin, bytes or facts."""
    audio = b"".join(unhexlify(data["result"]) for data in messages)
    declared = next((data["mime_type"] for data in messages if data.get("mime_type")), None)
    known = recognise(audio[:HEAD_BYTES])
    if declared is not None:
        return Speech(audio, str(declared))
    if known is not None:
        return Speech(audio, known.mime_type)
    kind = text_property(facts, ModelPropertyKey.AUDIO_TYPE).lower() or "mp3"
    return Speech(audio, _MIME_TYPES.get(kind, f"audio/{kind}"))


def text(data: Data) -> str:
    """Return the text of an answer."""
    if not isinstance(data["result"], str):
        raise TypeError("it is no text")
    return data["result"]


def verdict(data: Data) -> bool:
    """Return a verdict. Raise TypeError for any value but true and false."""
    if not isinstance(data["result"], bool):
        raise TypeError("it is neither true nor false")
    return data["result"]


def token_count(data: Data) -> int:
    """Return the number of tokens of a prompt."""
    return int(data["num_tokens"])
