"""What a client asks for: one request model per kind of call, and the envelope around it.

Field names of the requests are those of Dify's wire (`completion_params`, `prompt_messages`, ...).
"""

import math
import re
import secrets
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, field_validator

from invokeq.protocol.entities import AnyPromptMessage, ModelType, PromptMessageTool

PROTOCOL_VERSION: Final = 1

Priority = Literal["high", "normal"]

_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def new_request_id() -> str:
    """128 random bits as 32 hex characters; knowing one is the right to read its stream."""
    return secrets.token_hex(16)


class _Wire(BaseModel):
    """Base of our own wire shapes: frozen, and strangers are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class LLMRequest(_Wire):
    """`session.model.llm.invoke(...)` on the wire."""

    kind: Literal["llm"] = "llm"
    provider: str = Field(min_length=1)
    model: str = Field(min_length=1)
    mode: str = "chat"
    completion_params: dict[str, Any] = {}
    prompt_messages: list[AnyPromptMessage] = Field(min_length=1)
    tools: list[PromptMessageTool] | None = None
    stop: list[str] | None = None
    stream: bool = True

    @property
    def model_type(self) -> ModelType:
        return ModelType.LLM


Request = LLMRequest
"""The union of all requests, told apart by `kind`; it has one member so far."""

request_adapter: TypeAdapter[Request] = TypeAdapter(Request)


class BodyRef(_Wire):
    """Says that the request travels beside the job: `parts` keys, `size` bytes together."""

    parts: int = Field(ge=1, le=4096)
    size: int = Field(ge=1)


class Envelope(_Wire):
    """What travels with every request, whatever it asks for.

    `deadline` is in seconds since the epoch. `plugin_id` is a claim: the worker believes the lane's key,
    not this field, unless the operator trusts the lane. There is no field for credentials.
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
