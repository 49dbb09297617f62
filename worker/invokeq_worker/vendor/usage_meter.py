"""The usage of an invocation so far, for invocations stopped before the vendor's report.

Usage reported by a vendor is exact. Tokens of an answer stopped in the middle are estimated and
marked `estimated`: four ASCII characters make a token, and so does one other character. Vendors
bill every generated token, but report usage only at the end.
"""

import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from invokeq.protocol.entities import EmbeddingUsage, LLMUsage
from invokeq_providers.base import Embedded, EmbeddingCall, LLMCall
from invokeq_providers.chunks import LLMChunk, TextChunk
from invokeq_providers.models.usage import embedding_usage, total_usage, usage_from_tokens

CHARACTERS_A_TOKEN: Final = 4


class Answer:
    """Usage of one LLM call, at the cost of one addition for each chunk."""

    __slots__ = ("_call", "_characters", "_others", "usage")

    def __init__(self, call: LLMCall) -> None:
        self._call = call
        self._characters = 0
        self._others = 0
        self.usage: LLMUsage | None = None

    def add(self, chunk: LLMChunk) -> None:
        """Count the next chunk."""
        if isinstance(chunk, TextChunk):
            text = chunk.text
        else:
            self.usage = chunk.delta.usage or self.usage
            text = chunk.delta.message.get_text_content()
        if text.isascii():
            self._characters += len(text)
        else:
            self._others += len(text)

    def estimate(self, latency: float) -> LLMUsage:
        """Return an estimate of the vendor's bill; `latency` is in seconds."""
        prompt = _tokens(m.get_text_content() for m in self._call.prompt_messages)
        made = -(-self._characters // CHARACTERS_A_TOKEN) + self._others
        return usage_from_tokens(self._call.facts, prompt, made, latency)

    @property
    def has_begun(self) -> bool:
        return bool(self._characters or self._others)


class UsageMeter:
    """Usage of all answers and vectors of one invocation."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._answers: list[Answer] = []
        self._vectors: EmbeddingUsage | None = None

    def begin(self, call: LLMCall) -> Answer:
        """Start counting an LLM call, and return the counter."""
        answer = Answer(call)
        self._answers.append(answer)
        return answer

    def counter(self, call: object) -> Callable[[Any], None] | None:
        """Return a function that counts the chunks of an LLM's answer; None for other calls."""
        return self.begin(call).add if isinstance(call, LLMCall) else None

    def embedded(self, call: EmbeddingCall, embedded: Embedded) -> None:
        """Add the tokens of a finished batch of vectors."""
        before = 0 if self._vectors is None else self._vectors.tokens
        latency = time.monotonic() - self._began
        self._vectors = embedding_usage(call.facts, before + embedded.tokens, latency)

    def usage(self) -> dict[str, Any] | None:
        """Return the usage so far as JSON, or None; with `estimated` if a part is estimated."""
        if self._vectors is not None:
            return self._vectors.model_dump(mode="json")
        latency = time.monotonic() - self._began
        exact = [answer.usage for answer in self._answers if answer.usage is not None]
        # A call without output may have been refused unbilled, so such a call costs nothing here.
        open_ones = [a for a in self._answers if a.usage is None and a.has_begun]
        total = total_usage([*exact, *(a.estimate(latency) for a in open_ones)], latency)
        if total is None:
            return None
        dumped = total.model_dump(mode="json")
        return {**dumped, "estimated": True} if open_ones else dumped


def _tokens(texts: Iterable[str]) -> int:
    whole = "".join(texts)
    others = len(whole) - len(whole.encode("ascii", "ignore"))
    return -(-(len(whole) - others) // CHARACTERS_A_TOKEN) + others
