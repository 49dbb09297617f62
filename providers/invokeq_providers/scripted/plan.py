"""Plans of the fake vendor, and the errors of planned failures."""

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
    """The course of an LLM call: counts in chunks, times in seconds, `rate` in chunks per second.

    A rate of 0 is as fast as possible. `parts` is a JSON list of content parts; each part is
    a chunk before the text. `fail_after` and `hang_after` 0 act before the first chunk.
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
    """The course of calls of another kind; an invocation makes several, counted from 0.

    `delays[n]` are the seconds of call n; the last delay repeats. `fail_at` and `hang_at` are the
    number of a call. A wrong answer (`spoil`) comes from call `spoil_at`.
    """

    delays: list[NonNegativeFloat] = []
    fail_at: NonNegativeInt | None = None
    fail_with: FailWith = "server_error"
    retry_after: NonNegativeFloat | None = None
    hang_at: NonNegativeInt | None = None
    spoil_at: NonNegativeInt = 0

    def delay(self, number: int) -> float:
        """Return the seconds of the call with a number."""
        return self.delays[min(number, len(self.delays) - 1)] if self.delays else 0.0


class EmbeddingPlan(CallPlan):
    """A plan for embeddings; `spoil` is the fault in the last row, or in the number of rows."""

    dimensions: PositiveInt = 8
    dtype: Literal["f4", "f8"] = "f4"
    spoil: Literal["nan", "infinity", "short", "empty", "missing", "extra"] | None = None


class RerankPlan(CallPlan):
    """A plan for reranking; documents beyond `scores` score by the words shared with the query."""

    scores: list[float] = []
    spoil: Literal["nan", "duplicate", "out_of_range", "missing"] | None = None


class SpeechPlan(CallPlan):
    """A plan for speech: segments of `frames` of silence, 26 ms each; by default 1 a character."""

    frames: PositiveInt | None = None
    spoil: Literal["empty"] | None = None


class TranscriptionPlan(CallPlan):
    """A plan for transcription; by default `text` comes from the tags of the fake speech."""

    text: str | None = None


class ModerationPlan(CallPlan):
    """A plan for moderation: a text with one of the `flagged_words` is sensitive."""

    flagged_words: list[str] = ["attack"]


class ScriptedOptions(BatchableOptions, Plan):
    """Options of a provider of the type `scripted`: the plans of all kinds.

    `journal_file` gets a line `<request id> <event>` for each event, for tests in another process.
    Without `counts_tokens` the provider counts no tokens, like the providers of most vendors.
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
    """Return the error of a planned failure; `chunks` were emitted before."""
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
            # Outside our error tree, like a bug in a provider.
            return ValueError(f"a bug, {detail}")
