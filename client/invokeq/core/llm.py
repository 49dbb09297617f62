"""Builds LLM requests from what callers pass: Dify's entities of either making, or plain dicts."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from invokeq.protocol.codec import first_problem
from invokeq.protocol.entities import LLMModelConfig, PromptMessage, PromptMessageTool
from invokeq.protocol.entities.message import ensure_prompt_message
from invokeq.protocol.errors import InvalidRequestError
from invokeq.protocol.requests import LLMRequest

M = TypeVar("M", bound=BaseModel)

DEFAULT_MODE = "chat"
"""Selectors of badly declared models come without a mode; Dify's own host then assumes chat."""


def build_llm_request(
    model_config: LLMModelConfig | Mapping[str, Any],
    prompt_messages: Sequence[PromptMessage],
    tools: Sequence[PromptMessageTool] | None,
    stop: Sequence[str] | None,
    stream: bool,
) -> LLMRequest:
    """Validate the arguments of an LLM call; InvalidRequestError names the field and the problem."""
    config = _config(model_config)
    messages = _messages(prompt_messages)
    try:
        return LLMRequest(
            provider=config.provider,
            model=config.model,
            mode=config.mode,
            completion_params=config.completion_params,
            prompt_messages=messages,
            tools=[_entity("tools", i, PromptMessageTool, t) for i, t in enumerate(tools)]
            if tools
            else None,
            stop=list(stop) if stop is not None else None,
            stream=stream,
        )
    except ValidationError as error:
        field, problem = first_problem(error)
        raise InvalidRequestError(field=field, problem=problem) from None


def _config(value: object) -> LLMModelConfig:
    if isinstance(value, LLMModelConfig):
        return value
    fields = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    if not isinstance(fields, Mapping):
        raise InvalidRequestError(
            field="model_config",
            problem=f"must be an LLMModelConfig or the value of a model-selector, not {_kind(value)}",
        )
    filled = {**fields, "mode": fields.get("mode") or DEFAULT_MODE}
    try:
        return LLMModelConfig.model_validate(filled)
    except ValidationError as error:
        field, problem = first_problem(error)
        raise InvalidRequestError(field=f"model_config.{field}", problem=problem) from None


def _messages(values: object) -> list[PromptMessage]:
    if not isinstance(values, Sequence) or isinstance(values, str | bytes):
        raise InvalidRequestError(
            field="prompt_messages", problem=f"must be a list of prompt messages, not {_kind(values)}"
        )
    if not values:
        raise InvalidRequestError(field="prompt_messages", problem="must not be empty")
    return [_message(i, value) for i, value in enumerate(values)]


def _message(index: int, value: object) -> PromptMessage:
    """Take a message of ours, one of Dify's SDK, or a dict with a role."""
    if isinstance(value, PromptMessage):
        return value
    try:
        return ensure_prompt_message(value.model_dump(mode="json") if isinstance(value, BaseModel) else value)
    except ValidationError as error:
        field, problem = first_problem(error)
        raise InvalidRequestError(
            field=f"prompt_messages[{index}].{field}", problem=problem
        ) from None
    except TypeError as error:
        raise InvalidRequestError(field=f"prompt_messages[{index}]", problem=str(error)) from None


def _entity(field: str, index: int, entity: type[M], value: object) -> M:
    if isinstance(value, entity):
        return value
    try:
        return entity.model_validate(value.model_dump(mode="json") if isinstance(value, BaseModel) else value)
    except ValidationError as error:
        inner, problem = first_problem(error)
        raise InvalidRequestError(field=f"{field}[{index}].{inner}", problem=problem) from None


def _kind(value: object) -> str:
    return type(value).__name__
