"""Build the requests of calls to large language models."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from invokeq.protocol.codec import first_problem
from invokeq.protocol.entities import LLMModelConfig, PromptMessage, PromptMessageTool
from invokeq.protocol.entities.message import ensure_prompt_message
from invokeq.protocol.errors import InvalidRequestError
from invokeq.protocol.requests import LLMRequest, LLMStructuredOutputRequest, SummaryRequest
from invokeq.requests.arguments import config_of, entity_of, items_of, spoken_text_of, text_of

DEFAULT_MODE = "chat"
"""Selectors of badly declared models come without a mode; Dify's own host then assumes chat."""


def build_llm_request(
    model_config: LLMModelConfig | Mapping[str, Any],
    prompt_messages: Sequence[PromptMessage],
    tools: Sequence[PromptMessageTool] | None,
    stop: Sequence[str] | None,
    stream: bool,
) -> LLMRequest:
    """Validate the arguments of an LLM call; InvalidRequestError names the field at fault."""
    return LLMRequest(**_common(model_config, prompt_messages, tools, stop, stream))


def build_structured_request(
    model_config: LLMModelConfig | Mapping[str, Any],
    prompt_messages: Sequence[PromptMessage],
    structured_output_schema: Mapping[str, Any],
    tools: Sequence[PromptMessageTool] | None,
    stop: Sequence[str] | None,
    stream: bool,
) -> LLMStructuredOutputRequest:
    """Validate the arguments of a call for structured output, but for the schema's own rules."""
    schema: object = structured_output_schema  # callers are not held to their types
    if not isinstance(schema, dict) or not schema:
        raise InvalidRequestError(
            field="structured_output_schema", problem="must be a JSON schema as a dict, not empty"
        )
    common = _common(model_config, prompt_messages, tools, stop, stream)
    return LLMStructuredOutputRequest(**common, structured_output_schema=schema)


def build_summary_request(text: str, instruction: str) -> SummaryRequest:
    """Validate the arguments of a summary."""
    return SummaryRequest(
        text=spoken_text_of("text", text), instruction=text_of("instruction", instruction)
    )


def _common(
    model_config: object, prompt_messages: object, tools: object, stop: object, stream: bool
) -> dict[str, Any]:
    config = config_of(LLMModelConfig, model_config, mode=DEFAULT_MODE)
    messages = items_of("prompt_messages", prompt_messages, "prompt messages")
    if not messages:
        raise InvalidRequestError(field="prompt_messages", problem="must not be empty")
    for field in ("provider", "model"):
        if not getattr(config, field):
            raise InvalidRequestError(field=f"model_config.{field}", problem="must not be empty")
    offered = items_of("tools", tools or [], "tools")
    words = items_of("stop", stop, "texts") if stop is not None else None
    return {
        "provider": config.provider,
        "model": config.model,
        "mode": config.mode,
        "completion_params": _named(config.completion_params),
        "prompt_messages": [_message(i, message) for i, message in enumerate(messages)],
        "tools": [entity_of(f"tools[{i}]", PromptMessageTool, t) for i, t in enumerate(offered)]
        or None,
        "stop": [text_of(f"stop[{i}]", word) for i, word in enumerate(words)]
        if words is not None
        else None,
        "stream": bool(stream),
    }


def _named(params: Mapping[Any, Any]) -> dict[str, Any]:
    for name in params:
        text_of("completion_params", name)
    return dict(params)


def _message(index: int, value: object) -> PromptMessage:
    """Return a message made from one of ours, one of Dify's SDK, or a dict with a role."""
    if isinstance(value, PromptMessage):
        return value
    given = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    try:
        return ensure_prompt_message(given)
    except ValidationError as error:
        field, problem = first_problem(error)
        raise InvalidRequestError(
            field=f"prompt_messages[{index}].{field}", problem=problem
        ) from None
    except TypeError as error:
        raise InvalidRequestError(field=f"prompt_messages[{index}]", problem=str(error)) from None
