"""The results of LLM calls, whole or chunk by chunk, and the usage.

Results do not carry the prompt: `prompt_messages` exists for old readers, and is always empty.
"""

from collections.abc import Mapping
from decimal import Decimal
from enum import Enum, StrEnum
from typing import Any, Self

from pydantic import BaseModel, Field, JsonValue, PositiveInt, field_validator, model_validator

from invokeq.protocol.entities.message import AssistantPromptMessage, PromptMessage
from invokeq.protocol.entities.model import PriceInfo


class LLMMode(Enum):
    """Whether an LLM continues a text or answers in a conversation."""

    COMPLETION = "completion"
    CHAT = "chat"

    @classmethod
    def value_of(cls, value: str) -> Self:
        """Return the mode of a wire value; raise ValueError for an unknown value."""
        return cls(value)


class LLMUsage(BaseModel):
    """The tokens, the cost and the duration of a call.

    A price is tokens x unit price x price unit, in `currency`. A price unit of 0.001 makes the unit
    price a price per thousand tokens. `latency` is in seconds.
    """

    prompt_tokens: int
    prompt_unit_price: Decimal
    prompt_price_unit: Decimal
    prompt_price: Decimal
    completion_tokens: int
    completion_unit_price: Decimal
    completion_price_unit: Decimal
    completion_price: Decimal
    total_tokens: int
    total_price: Decimal
    currency: str
    latency: float

    @classmethod
    def empty_usage(cls) -> Self:
        """Return the usage of a call without any cost."""
        nothing = Decimal("0.0")
        return cls(
            prompt_tokens=0,
            prompt_unit_price=nothing,
            prompt_price_unit=nothing,
            prompt_price=nothing,
            completion_tokens=0,
            completion_unit_price=nothing,
            completion_price_unit=nothing,
            completion_price=nothing,
            total_tokens=0,
            total_price=nothing,
            currency="USD",
            latency=0.0,
        )


class LLMResultChunkDelta(BaseModel):
    """The addition of one chunk; the last chunk of a call has usage and a finish reason."""

    index: int
    message: AssistantPromptMessage
    usage: LLMUsage | None = None
    finish_reason: str | None = None


class LLMResultChunk(BaseModel):
    """One chunk of an answer."""

    model: str
    prompt_messages: list[PromptMessage] = Field(default_factory=list[PromptMessage])
    system_fingerprint: str | None = None
    delta: LLMResultChunkDelta

    # "before": a prompt from another writer is not even validated, which would cost a copy a chunk.
    @field_validator("prompt_messages", mode="before")
    @classmethod
    def _drop(cls, _value: Any) -> list[PromptMessage]:
        return []


class LLMStructuredOutput(BaseModel):
    """The object in an LLM's structured answer."""

    structured_output: Mapping[Any, Any] | None = None


class LLMResultChunkWithStructuredOutput(LLMResultChunk, LLMStructuredOutput):
    """One chunk of an answer; the last one has the object."""


class LLMResult(BaseModel):
    """A whole answer."""

    model: str
    prompt_messages: list[PromptMessage] = Field(default_factory=list[PromptMessage])
    message: AssistantPromptMessage
    usage: LLMUsage
    system_fingerprint: str | None = None

    @field_validator("prompt_messages", mode="before")
    @classmethod
    def _drop(cls, _value: Any) -> list[PromptMessage]:
        return []

    def to_llm_result_chunk(self) -> LLMResultChunk:
        """Return the answer as the only chunk of a stream, without a finish reason."""
        return LLMResultChunk(
            model=self.model, system_fingerprint=self.system_fingerprint, delta=self._delta()
        )

    def _delta(self) -> LLMResultChunkDelta:
        return LLMResultChunkDelta(index=0, message=self.message, usage=self.usage)


class LLMResultWithStructuredOutput(LLMResult, LLMStructuredOutput):
    """A whole answer with the structured object."""

    def to_llm_result_chunk_with_structured_output(self) -> LLMResultChunkWithStructuredOutput:
        """Return the answer as the only chunk of a stream, without a finish reason."""
        return LLMResultChunkWithStructuredOutput(
            model=self.model,
            system_fingerprint=self.system_fingerprint,
            delta=self._delta(),
            structured_output=self.structured_output,
        )


class LLMPollingStatus(StrEnum):
    """The progress of a polled answer."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class LLMPollingResult(BaseModel):
    """The state of a polled answer.

    A running one has `plugin_state`, a succeeded one `result`, a failed one `error`.
    """

    status: LLMPollingStatus
    plugin_state: dict[str, JsonValue] | None = None
    result: LLMResult | LLMResultWithStructuredOutput | None = None
    error: str | None = None
    next_check_after_seconds: PositiveInt | None = None
    expires_after_seconds: PositiveInt | None = None
    max_attempts: PositiveInt | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        name, value = {
            LLMPollingStatus.RUNNING: ("plugin_state", self.plugin_state),
            LLMPollingStatus.SUCCEEDED: ("result", self.result),
            LLMPollingStatus.FAILED: ("error", self.error),
        }[self.status]
        if not value:
            raise ValueError(f"a {self.status} poll needs {name}")
        return self


class NumTokensResult(PriceInfo):
    """The number of tokens of a prompt, and the price."""

    tokens: int
