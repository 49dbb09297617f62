"""What an invocation has used so far, for one that is stopped before its vendor has said it.

Exact where a vendor has said it. Of an answer that was stopped in the middle the tokens are
estimated, four ASCII characters or one other each, and marked so: vendors bill what they have made,
and say how much only at the end.
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
    """One call of an LLM; costs an addition for each chunk."""

    __slots__ = ("_call", "_characters", "_others", "usage")

    def __init__(self, call: LLMCall) -> None:
        self._call = call
        self._characters = 0
        self._others = 0
        self.usage: LLMUsage | None = None

    def add(self, chunk: LLMChunk) -> None:
        """Take the next chunk."""
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
        """Guess what the vendor will bill."""
        prompt = _tokens(m.get_text_content() for m in self._call.prompt_messages)
        made = -(-self._characters // CHARACTERS_A_TOKEN) + self._others
        return usage_from_tokens(self._call.facts, prompt, made, latency)

    @property
    def has_begun(self) -> bool:
        return bool(self._characters or self._others)


class UsageMeter:
    """The answers and vectors of one invocation."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._answers: list[Answer] = []
        self._vectors: EmbeddingUsage | None = None

    def begin(self, call: LLMCall) -> Answer:
        """A model begins to answer."""
        answer = Answer(call)
        self._answers.append(answer)
        return answer

    def counter(self, call: object) -> Callable[[Any], None] | None:
        """Return a function that counts the chunks of an LLM's answer; None for other calls."""
        return self.begin(call).add if isinstance(call, LLMCall) else None

    def embedded(self, call: EmbeddingCall, embedded: Embedded) -> None:
        """A batch of vectors is there."""
        before = 0 if self._vectors is None else self._vectors.tokens
        latency = time.monotonic() - self._began
        self._vectors = embedding_usage(call.facts, before + embedded.tokens, latency)

    def usage(self) -> dict[str, Any] | None:
        """Give what was used by now; with `estimated` if that is not all the vendor's word."""
        if self._vectors is not None:
            return self._vectors.model_dump(mode="json")
        latency = time.monotonic() - self._began
        exact = [answer.usage for answer in self._answers if answer.usage is not None]
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
