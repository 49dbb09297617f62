"""Build requests for Anthropic's Messages API.

Pure. A part that the API cannot take raises InvalidRequestError with the place of the part. Only
empty texts are left out in silence: the API refuses empty texts. System messages are merged,
because the API has one system prompt. Neighbours of one role are merged, because roles alternate.
"""

from base64 import b64decode
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import orjson

from invokeq.protocol.entities import (
    AIModelEntity,
    AssistantPromptMessage,
    DocumentPromptMessageContent,
    ImagePromptMessageContent,
    PromptMessage,
    PromptMessageContentUnionTypes,
    PromptMessageRole,
    PromptMessageTool,
    SystemPromptMessage,
    TextPromptMessageContent,
    ToolPromptMessage,
)
from invokeq.protocol.errors import InvalidRequestError

Body = dict[str, Any]

THOUGHTS: Final = "anthropic_thinking"
"""The key of an opaque body with the unchanged thinking blocks of an answer."""

_BETWEEN_SYSTEM_TEXTS: Final = "\n\n"
_NO_ARGUMENTS: Final[Mapping[str, Any]] = {"type": "object", "properties": {}}
_MIN_THINKING_BUDGET: Final = 1024  # fewer are refused, says the API reference of Messages


def system_prompt(messages: Sequence[PromptMessage]) -> str:
    """Return the text of all system messages, wherever in the list; empty without any."""
    texts = [m.get_text_content() for m in messages if isinstance(m, SystemPromptMessage)]
    return _BETWEEN_SYSTEM_TEXTS.join(text for text in texts if text)


def turns(messages: Sequence[PromptMessage]) -> list[Body]:
    """Return the other messages as turns that alternate between user and assistant.

    Raise InvalidRequestError for a part that the API cannot take.
    """
    written: list[Body] = []
    for i, message in enumerate(messages):
        if isinstance(message, SystemPromptMessage):
            continue
        is_assistant = message.role is PromptMessageRole.ASSISTANT
        role = "assistant" if is_assistant else "user"
        blocks = _blocks(i, message)
        if written and written[-1]["role"] == role:
            written[-1]["content"] += blocks
        elif blocks:
            written.append({"role": role, "content": blocks})
    return written


def tools(given: Sequence[PromptMessageTool]) -> list[Body]:
    """Return tools in the format of the API."""
    return [
        {
            "name": tool.name,
            "description": tool.description,
            "input_schema": {**_NO_ARGUMENTS, **tool.parameters},
        }
        for tool in given
    ]


def thinking(parameters: Mapping[str, Any], facts: AIModelEntity) -> Body | None:
    """Return the parameters `thinking`, `thinking_budget` and `thinking_display` as one object.

    Models with a rule for `thinking_budget` think by budget, other models adaptively. None without
    any of the parameters.
    """
    wanted, budget = parameters.get("thinking"), parameters.get("thinking_budget")
    display = parameters.get("thinking_display")
    if wanted is False:
        return {"type": "disabled"}
    if wanted is None and budget is None and display is None:
        return None
    if any(rule.name == "thinking_budget" for rule in facts.parameter_rules):
        return {"type": "enabled", "budget_tokens": budget or _MIN_THINKING_BUDGET}
    # By default newer models hide the thoughts; a caller who asks for thinking wants to read some.
    return {"type": "adaptive", "display": display or "summarized"}


def _blocks(index: int, message: PromptMessage) -> list[Body]:
    if isinstance(message, ToolPromptMessage):
        # An empty result stays: the model needs a result for every tool call.
        result: Body = {"type": "tool_result", "tool_use_id": message.tool_call_id}
        content = _content(index, message)
        return [{**result, "content": content} if content else result]
    if isinstance(message, AssistantPromptMessage):
        thoughts = _thoughts(message)
        parts = _content(index, message)
        if thoughts and parts and parts[0]["type"] == "text":
            parts = _without_thoughts(parts)
        calls = [_tool_use(index, j, call) for j, call in enumerate(message.tool_calls)]
        return [*thoughts, *parts, *calls]
    return _content(index, message)


def _content(index: int, message: PromptMessage) -> list[Body]:
    content = message.content
    if not isinstance(content, list):
        return [_text(content)] if content else []
    blocks: list[Body] = []
    for j, part in enumerate(content):
        if not (isinstance(part, TextPromptMessageContent) and not part.data):
            blocks.append(_block(f"prompt_messages[{index}].content[{j}]", part))
    return blocks


def _text(text: str) -> Body:
    return {"type": "text", "text": text}


def _block(field: str, part: PromptMessageContentUnionTypes) -> Body:
    if isinstance(part, TextPromptMessageContent):
        return _text(part.data)
    if isinstance(part, ImagePromptMessageContent):
        return {"type": "image", "source": _source(field, part)}
    if isinstance(part, DocumentPromptMessageContent):
        title = {"title": part.filename} if part.filename else {}
        return {"type": "document", "source": _document_source(field, part), **title}
    problem = f"the API takes text, images and documents only, not {part.type.value}"
    raise InvalidRequestError(field=field, problem=problem)


def _source(field: str, part: ImagePromptMessageContent | DocumentPromptMessageContent) -> Body:
    if part.url and not part.url.startswith("data:"):
        return {"type": "url", "url": part.url}
    head, _, data = part.url.partition(";base64,") if part.url else ("", "", part.base64_data)
    if not data:
        raise InvalidRequestError(field=field, problem="has neither base64_data nor a url")
    mime_type = head.removeprefix("data:") or part.mime_type
    return {"type": "base64", "media_type": mime_type, "data": data}


def _document_source(field: str, part: DocumentPromptMessageContent) -> Body:
    source = _source(field, part)
    kind = source.get("media_type", part.mime_type).lower()
    if source["type"] == "url" or kind == "application/pdf":
        return source
    if not kind.startswith("text/"):
        problem = f"the API takes documents as PDF or text only, not {kind}"
        raise InvalidRequestError(field=field, problem=problem)
    return {"type": "text", "media_type": "text/plain", "data": _decoded(field, source["data"])}


def _decoded(field: str, data: str) -> str:
    try:
        return b64decode(data, validate=True).decode()
    except ValueError:
        problem = "is no base64 of UTF-8 text"
        raise InvalidRequestError(field=field, problem=problem) from None


def _tool_use(index: int, j: int, call: AssistantPromptMessage.ToolCall) -> Body:
    try:
        arguments = orjson.loads(call.function.arguments or "{}")
    except orjson.JSONDecodeError:
        arguments = None
    if not isinstance(arguments, dict):
        raise InvalidRequestError(
            field=f"prompt_messages[{index}].tool_calls[{j}].function.arguments",
            problem="must be the JSON text of an object",
        )
    return {"type": "tool_use", "id": call.id, "name": call.function.name, "input": arguments}


def _thoughts(message: AssistantPromptMessage) -> list[Body]:
    """Return the thinking blocks of an answer; a tool loop must send the blocks back."""
    if not isinstance(message.opaque_body, dict):
        return []
    blocks = message.opaque_body.get(THOUGHTS)
    return cast(list[Body], blocks) if isinstance(blocks, list) else []


def _without_thoughts(parts: list[Body]) -> list[Body]:
    """Return the parts without the copy of the thoughts at the head of the text."""
    text: str = parts[0]["text"]
    if text.startswith("<think>\n"):
        text = text.partition("\n</think>")[2]
    return [_text(text), *parts[1:]] if text else parts[1:]
