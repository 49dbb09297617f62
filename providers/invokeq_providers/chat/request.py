"""Requests in the format of OpenAI's chat completions, spoken by most vendors and servers.

Pure. A part without a form in the format is refused, with the place of the part. No part is left
out in silence.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import orjson

from invokeq.protocol.entities import (
    AssistantPromptMessage,
    AudioPromptMessageContent,
    DocumentPromptMessageContent,
    ImagePromptMessageContent,
    PromptMessage,
    PromptMessageContentUnionTypes,
    PromptMessageTool,
    TextPromptMessageContent,
    ToolPromptMessage,
)
from invokeq.protocol.errors import InvalidParameterError, InvalidRequestError

_AUDIO_FORMATS: Final = {
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
    "audio/wav": "wav",
    "audio/wave": "wav",
    "audio/x-wav": "wav",
}
NO_ARGUMENTS: Final[Mapping[str, Any]] = {"type": "object", "properties": {}}
_SCHEMA_NAME: Final = "response"  # the format wants one; no model sees it


def chat_messages(messages: Sequence[PromptMessage]) -> list[dict[str, Any]]:
    """Return the messages in the format; raise `InvalidRequestError` for a file given by URL."""
    return [_message(i, message) for i, message in enumerate(messages)]


def chat_tools(tools: Sequence[PromptMessageTool]) -> list[dict[str, Any]]:
    """Return the tools in the format."""
    dumped = [tool.model_dump() for tool in tools]
    # Vendors refuse a schema without a type; Dify's tools without arguments have an empty one.
    functions = [{**tool, "parameters": tool["parameters"] or NO_ARGUMENTS} for tool in dumped]
    return [{"type": "function", "function": function} for function in functions]


def chat_parameters(parameters: Mapping[str, Any], *, provider: str, model: str) -> dict[str, Any]:
    """Return the parameters; `response_format` and `json_schema` become one object.

    Raises `InvalidParameterError` for a schema missing or broken.
    """
    body = {k: v for k, v in parameters.items() if k not in ("response_format", "json_schema")}
    response_format = parameters.get("response_format")
    if response_format == "json_schema":
        schema = _schema(parameters.get("json_schema"), provider, model)
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif response_format is not None:
        body["response_format"] = {"type": response_format}
    return body


def _schema(text: str | None, provider: str, model: str) -> dict[str, Any]:
    """Return the parameter `json_schema` as a named schema; a bare schema gets a name."""
    problem = "is required when response_format is json_schema"
    if text is not None:
        problem = "must be the JSON text of an object"
        try:
            schema = orjson.loads(text)
        except orjson.JSONDecodeError:
            schema = None
        if isinstance(schema, dict):
            named = cast(dict[str, Any], schema)
            return named if "schema" in named else {"name": _SCHEMA_NAME, "schema": named}
    raise InvalidParameterError(
        provider=provider,
        model=model,
        field="completion_params.json_schema",
        parameter="json_schema",
        problem=problem,
    )


def _message(index: int, message: PromptMessage) -> dict[str, Any]:
    written: dict[str, Any] = {"role": message.role.value, "content": _content(index, message)}
    if isinstance(message, ToolPromptMessage):
        # `name` holds the tool's name here, and the format identifies a result by the call alone.
        written["tool_call_id"] = message.tool_call_id
        return written
    if isinstance(message, AssistantPromptMessage) and message.tool_calls:
        written["tool_calls"] = [
            {"id": call.id, "type": "function", "function": call.function.model_dump()}
            for call in message.tool_calls
        ]
        # In the format, `content` is optional beside tool calls alone.
        written["content"] = written["content"] or None
    if message.name:
        written["name"] = message.name
    return written


def _content(index: int, message: PromptMessage) -> str | list[dict[str, Any]]:
    content = message.content
    if isinstance(content, list):
        if any(not isinstance(part, TextPromptMessageContent) for part in content):
            return [
                _part(f"prompt_messages[{index}].content[{j}]", part)
                for j, part in enumerate(content)
            ]
        # Some servers take lists of parts in no role but user, so text goes as text.
        return message.get_text_content()
    return content or ""


def _part(field: str, part: PromptMessageContentUnionTypes) -> dict[str, Any]:
    if isinstance(part, TextPromptMessageContent):
        return {"type": "text", "text": part.data}
    if isinstance(part, ImagePromptMessageContent):
        return {"type": "image_url", "image_url": {"url": part.data, "detail": part.detail.value}}
    if isinstance(part, AudioPromptMessageContent):
        kind = _AUDIO_FORMATS.get(part.mime_type.lower()) or part.format.lower().lstrip(".")
        data = _inline(field, part.url, part.base64_data)
        return {"type": "input_audio", "input_audio": {"data": data, "format": kind}}
    if isinstance(part, DocumentPromptMessageContent):
        data = _inline(field, part.url, part.base64_data)
        name = part.filename or f"document.{part.format.lower().lstrip('.')}"
        file = {"filename": name, "file_data": f"data:{part.mime_type};base64,{data}"}
        return {"type": "file", "file": file}
    # Not OpenAI's own: this is how vLLM and its kin take video.
    return {"type": "video_url", "video_url": {"url": part.data}}


def _inline(field: str, url: str, base64_data: str) -> str:
    if url.startswith("data:") and ";base64," in url:
        return url.partition(";base64,")[2]
    if url or not base64_data:
        raise InvalidRequestError(
            field=field, problem="the bytes must come as base64_data; a URL cannot be passed on"
        )
    return base64_data
