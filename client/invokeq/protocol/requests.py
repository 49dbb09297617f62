"""The requests of clients: one model per kind of call, and the envelope around a request.

The requests' field names come from Dify's wire (`completion_params`, `prompt_messages`, ...).
"""

import math
import re
import secrets
from typing import Any, ClassVar, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from invokeq.protocol.entities import (
    AnyPromptMessage,
    EmbeddingInputType,
    ModelType,
    MultiModalContent,
    PromptMessageTool,
)

__all__ = [
    "BodyRef",
    "CallRequest",
    "Envelope",
    "LLMRequest",
    "LLMStructuredOutputRequest",
    "MAX_BESIDE",
    "ModelRequest",
    "ModerationRequest",
    "MultiModalEmbeddingRequest",
    "MultiModalRerankRequest",
    "PROTOCOL_VERSION",
    "Priority",
    "RerankRequest",
    "Speech2TextRequest",
    "SummaryRequest",
    "TTSRequest",
    "TextEmbeddingRequest",
    "new_request_id",
]

PROTOCOL_VERSION: Final = 1

MAX_BESIDE: Final = 128 * 1024 * 1024
"""Bytes beside a job, at most; a worker enforces the bound even if a client raised the limit."""

Priority = Literal["high", "normal"]

_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def new_request_id() -> str:
    """Return 128 random bits as 32 hex characters."""
    # From `secrets`: the id is also the right to read the stream, and must be hard to guess.
    return secrets.token_hex(16)


class _Wire(BaseModel):
    """Base of invokeq's own wire shapes: frozen, and unknown fields are refused.

    Validators are built on first use: a program imports all kinds of calls and makes one or two.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class CallRequest(_Wire):
    """Base of the requests of all kinds of call.

    A subclass sets `model_type` and has a field `kind` of a Literal type. The field's default is
    the name of the kind on the wire.
    """

    model_type: ClassVar[ModelType]

    kind: Any  # a str; a Literal of a subclass could not narrow a mutable `str`


class ModelRequest(CallRequest):
    """Base of the requests with a model: all requests except summaries."""

    provider: str = Field(min_length=1)
    model: str = Field(min_length=1)


class LLMRequest(ModelRequest):
    """`session.model.llm.invoke(...)` on the wire."""

    model_type: ClassVar[ModelType] = ModelType.LLM

    kind: Literal["llm"] = "llm"
    mode: str = "chat"
    completion_params: dict[str, Any] = {}
    prompt_messages: list[AnyPromptMessage] = Field(min_length=1)
    tools: list[PromptMessageTool] | None = None
    stop: list[str] | None = None
    stream: bool = True


class LLMStructuredOutputRequest(ModelRequest):
    """`session.model.llm_structured_output.invoke(...)` on the wire."""

    model_type: ClassVar[ModelType] = ModelType.LLM

    kind: Literal["llm_structured_output"] = "llm_structured_output"
    mode: str = "chat"
    completion_params: dict[str, Any] = {}
    prompt_messages: list[AnyPromptMessage] = Field(min_length=1)
    structured_output_schema: dict[str, Any]
    tools: list[PromptMessageTool] | None = None
    stop: list[str] | None = None
    stream: bool = True


class SummaryRequest(CallRequest):
    """`session.model.summary.invoke(...)` on the wire; the operator chooses the model."""

    model_type: ClassVar[ModelType] = ModelType.LLM

    kind: Literal["system_summary"] = "system_summary"
    text: str = Field(min_length=1)
    instruction: str = ""


class TextEmbeddingRequest(ModelRequest):
    """`session.model.text_embedding.invoke(...)` on the wire."""

    model_type: ClassVar[ModelType] = ModelType.TEXT_EMBEDDING

    kind: Literal["text_embedding"] = "text_embedding"
    texts: list[str]
    input_type: EmbeddingInputType = EmbeddingInputType.QUERY


class MultiModalEmbeddingRequest(ModelRequest):
    """`session.model.text_embedding.invoke_multimodal(...)` on the wire."""

    model_type: ClassVar[ModelType] = ModelType.TEXT_EMBEDDING

    kind: Literal["multimodal_embedding"] = "multimodal_embedding"
    documents: list[MultiModalContent]
    input_type: EmbeddingInputType = EmbeddingInputType.QUERY


class RerankRequest(ModelRequest):
    """`session.model.rerank.invoke(...)` on the wire; None sets no bound."""

    model_type: ClassVar[ModelType] = ModelType.RERANK

    kind: Literal["rerank"] = "rerank"
    docs: list[str]
    query: str
    score_threshold: float | None = Field(default=None, allow_inf_nan=False)
    top_n: int | None = Field(default=None, ge=1)


class MultiModalRerankRequest(ModelRequest):
    """`session.model.rerank.invoke_multimodal(...)` on the wire; None sets no bound."""

    model_type: ClassVar[ModelType] = ModelType.RERANK

    kind: Literal["multimodal_rerank"] = "multimodal_rerank"
    docs: list[MultiModalContent]
    query: MultiModalContent
    score_threshold: float | None = Field(default=None, allow_inf_nan=False)
    top_n: int | None = Field(default=None, ge=1)


class TTSRequest(ModelRequest):
    """`session.model.tts.invoke(...)` on the wire."""

    model_type: ClassVar[ModelType] = ModelType.TTS

    kind: Literal["tts"] = "tts"
    voice: str
    content_text: str = Field(min_length=1)


class Speech2TextRequest(ModelRequest):
    """`session.model.speech2text.invoke(...)` on the wire; the audio travels beside the job."""

    model_type: ClassVar[ModelType] = ModelType.SPEECH2TEXT

    kind: Literal["speech2text"] = "speech2text"
    mime_type: str


class ModerationRequest(ModelRequest):
    """`session.model.moderation.invoke(...)` on the wire."""

    model_type: ClassVar[ModelType] = ModelType.MODERATION

    kind: Literal["moderation"] = "moderation"
    text: str = Field(min_length=1)


class BodyRef(_Wire):
    """Content beside the job: `parts` keys, `size` bytes together."""

    parts: int = Field(ge=1, le=256)
    size: int = Field(ge=1, le=MAX_BESIDE)


class Envelope(_Wire):
    """A request of any kind, or a reference to the request, with the data of the invocation.

    `deadline` is in seconds since the epoch. `plugin_id` is a mere assertion: the worker believes
    the lane's key instead, unless the operator trusts the lane. There is no field for credentials.
    """

    v: Literal[1] = 1
    request_id: str = Field(pattern=r"^[0-9a-f]{32}$")
    plugin_id: str
    tenant_id: str | None = None
    user_id: str | None = None
    deadline: float | None = None
    priority: Priority = "normal"
    detached: bool = False
    traceparent: str | None = None
    tracestate: str | None = Field(default=None, max_length=512)
    request: dict[str, Any] | None = None
    body: BodyRef | None = None
    file: BodyRef | None = None

    # Pydantic accepts NaN and infinity; a NaN deadline would compare as neither passed nor to come.
    @field_validator("deadline")
    @classmethod
    def _finite(cls, value: float | None) -> float | None:
        if value is not None and not math.isfinite(value):
            raise ValueError("must be a finite number of seconds since the epoch")
        return value

    @field_validator("traceparent")
    @classmethod
    def _w3c(cls, value: str | None) -> str | None:
        if value is not None and not _TRACEPARENT.fullmatch(value):
            raise ValueError("must be a W3C traceparent")
        return value
