"""What the fake vendor is to do, and how it fails when it is to fail."""

from typing import Any, Literal

from pydantic import BaseModel, NonNegativeFloat, NonNegativeInt, PositiveInt

from invokeq.protocol.errors import (
    CredentialsError,
    ProviderUnavailableError,
    RateLimitedError,
    RejectedByProviderError,
)
from invokeq_providers.options import BatchableOptions

FailWith = Literal["rate_limit", "server_error", "connection", "bad_request", "auth", "internal"]


class Plan(BaseModel):
    """What an LLM call does; counts are of chunks, times in seconds, `rate` is a second.

    A rate of 0 is as fast as possible. `parts` is a JSON list of content parts; each is a chunk
    before the text. `fail_after` and `hang_after` 0 act before the first chunk.
    """

    text: str | None = None
    chunks: NonNegativeInt | None = None
    chunk_size: PositiveInt | None = None
    rate: NonNegativeFloat = 0.0
    first_chunk_delay: NonNegativeFloat = 0.0
    parts: str | None = None
    tool_calls: str | None = None
    usage: bool = True
    fail_after: NonNegativeInt | None = None
    fail_with: FailWith = "server_error"
    retry_after: NonNegativeFloat | None = None
    hang_after: NonNegativeInt | None = None


class CallPlan(BaseModel):
    """What calls of the other kinds do; an invocation makes several, counted from 0.

    `delays[n]` are the seconds that call n takes; the last one is for all that follow. `fail_at`
    and `hang_at` name a call; what goes wrong otherwise (`spoil`) does so in call `spoil_at`.
    """

    delays: list[NonNegativeFloat] = []
    fail_at: NonNegativeInt | None = None
    fail_with: FailWith = "server_error"
    retry_after: NonNegativeFloat | None = None
    hang_at: NonNegativeInt | None = None
    spoil_at: NonNegativeInt = 0

    def delay(self, number: int) -> float:
        """Give the seconds that a call takes."""
        return self.delays[min(number, len(self.delays) - 1)] if self.delays else 0.0


class EmbeddingPlan(CallPlan):
    """`spoil` is what is wrong with the last row of a batch, or with their number."""

    dimensions: PositiveInt = 8
    dtype: Literal["f4", "f8"] = "f4"
    spoil: Literal["nan", "infinity", "short", "empty", "missing", "extra"] | None = None


class RerankPlan(CallPlan):
    """`scores` are those of the first documents; the others are scored by the words they share."""

    scores: list[float] = []
    spoil: Literal["nan", "duplicate", "out_of_range", "missing"] | None = None


class SpeechPlan(CallPlan):
    """`frames` of silence are a segment, 26 ms each; by default one a character."""

    frames: PositiveInt | None = None
    spoil: Literal["empty"] | None = None


class TranscriptionPlan(CallPlan):
    """`text` is what is heard; by default what the fake speech says that it says."""

    text: str | None = None


class ModerationPlan(CallPlan):
    """A text with one of the `flagged_words` is sensitive."""

    flagged_words: list[str] = ["attack"]


class ScriptedOptions(BatchableOptions, Plan):
    """`journal_file` gets a line `<request id> <event>` an event, for tests in another process.

    Without `counts_tokens` it does not know what a token is, as most vendors' providers do not.
    """

    embedding: EmbeddingPlan = EmbeddingPlan()
    rerank: RerankPlan = RerankPlan()
    tts: SpeechPlan = SpeechPlan()
    speech2text: TranscriptionPlan = TranscriptionPlan()
    moderation: ModerationPlan = ModerationPlan()
    counts_tokens: bool = True
    journal_file: str | None = None


def planned_failure(
    plan: Plan | CallPlan, detail: str, *, provider: str, model: str, chunks: int = 0
) -> Exception:
    """Build the error of a call that is to fail."""
    where: dict[str, Any] = {"provider": provider, "model": model}
    match plan.fail_with:
        case "rate_limit":
            return RateLimitedError(detail=detail, retry_after=plan.retry_after, **where)
        case "server_error" | "connection":
            what = "HTTP 500" if plan.fail_with == "server_error" else "the connection broke"
            return ProviderUnavailableError(
                detail=f"{what}, {detail}", chunks=chunks, retry_after=plan.retry_after, **where
            )
        case "bad_request":
            return RejectedByProviderError(status=400, detail=detail, **where)
        case "auth":
            return CredentialsError(problem="the vendor refused them, as planned", **where)
        case "internal":
            return ValueError(f"a bug, {detail}")
