"""Cohere's chat models.

Events are converted to OpenAI's format, which `ChatAnswer` reads. Every answer is streamed, even
for a caller who wants the whole: only a stream shows a silent vendor.
"""

import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final

from invokeq.protocol.errors import InvalidRequestError
from invokeq_providers.base import LLMCall
from invokeq_providers.chat.request import chat_messages, chat_parameters, chat_tools
from invokeq_providers.chat.response import ChatAnswer
from invokeq_providers.chunks import LLMChunk
from invokeq_providers.cohere.api import HTTP_FAULTS, Body, CohereVendor
from invokeq_providers.http.event_stream import events_of, type_of

_STOP_WORDS: Final = 5  # "A list of up to 5 strings", says the API reference of Chat
_PARTS: Final = frozenset({"text", "image_url"})
_FINISH_REASONS: Final = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop",
    "MAX_TOKENS": "length",
    "TOOL_CALL": "tool_calls",
    "ERROR_TOXIC": "content_filter",
}
_FAILED: Final = frozenset({"ERROR", "TIMEOUT"})


async def answer_chat(vendor: CohereVendor, call: LLMCall) -> AsyncGenerator[LLMChunk, None]:
    """Yield the chunks of an answer, the last with usage and the finish reason.

    Raise the errors of `VendorErrors`, and InvalidRequestError for a part that the API cannot take.
    """
    # The API refuses more stop words; the answer is then cut here.
    ours = call.stop if len(call.stop) > _STOP_WORDS else ()
    body = _body(vendor, call, () if ours else call.stop)
    fragments = vendor.settings.tool_call_fragments
    answer = ChatAnswer(call, time.monotonic, stop=ours, fragments=fragments)

    def feed(event: Any) -> LLMChunk | None:
        _raise_reported(vendor, call.model, event, answer.chunks)
        return answer.feed(translated_event(event))

    async with (
        vendor.errors.translated(call.model, answer),
        vendor.open().chat_stream(**body) as raw,
        aclosing(
            events_of(raw.response.aiter_bytes(), _is_last, HTTP_FAULTS, call.heartbeat)
        ) as events,
    ):
        async for event in events:
            chunk = vendor.errors.read(call.model, feed, event, answer.chunks)
            if chunk is None:
                # An event without output still shows a living vendor.
                call.heartbeat()
            else:
                yield chunk
        # A body that ends without an error may still be cut: only the last event is proof.
        if not answer.finish_reason:
            raise vendor.errors.broken_off(call.model, answer.chunks)
        yield answer.last()


def translated_event(event: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return an event in OpenAI's format; the mapping is empty for an event without use."""
    if event is None:
        return {}
    delta: Mapping[str, Any] = event.get("delta") or {}
    message: Mapping[str, Any] = delta.get("message") or {}
    match event.get("type"):
        case "content-start" | "content-delta":
            content: Mapping[str, Any] = message.get("content") or {}
            thinking = content.get("thinking")
            return _delta({"content": content.get("text"), "reasoning_content": thinking})
        case "tool-plan-delta":
            return _delta({"content": message.get("tool_plan")})
        case "tool-call-start" | "tool-call-delta":
            return _delta({"tool_calls": [{"index": event["index"], **message["tool_calls"]}]})
        case "message-end":
            reason = _FINISH_REASONS.get(delta.get("finish_reason") or "", "stop")
            choices = [{"finish_reason": reason}]
            return {"choices": choices, "usage": _usage(delta.get("usage") or {})}
        case _:
            return {}


def _delta(delta: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"choices": [{"delta": delta}]}


def _usage(usage: Mapping[str, Any]) -> Mapping[str, int]:
    """Return the billed tokens, the unit of the prices; else the tokens of the model."""
    counts: Mapping[str, Any] = usage.get("billed_units") or usage.get("tokens") or {}
    return {
        "prompt_tokens": int(counts.get("input_tokens") or 0),
        "completion_tokens": int(counts.get("output_tokens") or 0),
    }


def _is_last(event: Any) -> bool:
    return event is None or type_of(event) == "message-end"


def _raise_reported(vendor: CohereVendor, model: str, event: Any, chunks: int) -> None:
    """Raise the error that the last event reports, if any, or TypeError without a type."""
    # None stands for "[DONE]", the end of a stream from a compatible server.
    if event is None:
        return
    kind = type_of(event)
    if kind is None:
        raise TypeError("an event without a type")
    delta: Mapping[str, Any] = (event.get("delta") if kind == "message-end" else None) or {}
    if delta.get("finish_reason") in _FAILED:
        detail = f"{delta['finish_reason']}: {delta.get('error') or 'no reason given'}"
        raise vendor.errors.unavailable(model, detail, chunks)


def _body(vendor: CohereVendor, call: LLMCall, stop: Sequence[str]) -> Body:
    body = chat_parameters(call.parameters, provider=vendor.name, model=call.model)
    body |= {"model": call.model, "messages": _messages(vendor, call)}
    if "response_format" in body:
        body["response_format"] = _response_format(body["response_format"])
    _set_thinking(body)
    if call.tools:
        body["tools"] = chat_tools(call.tools)
    if stop:
        body["stop_sequences"] = list(stop)
    return body


def _response_format(given: Mapping[str, Any]) -> Body:
    """Return a response format: a schema belongs to the type `json_object`, and has no name."""
    if given["type"] != "json_schema":
        return dict(given)
    return {"type": "json_object", "json_schema": given["json_schema"]["schema"]}


def _set_thinking(body: Body) -> None:
    """Join the parameters `thinking` and `thinking_budget` in one object, in place."""
    budget, thinking = body.pop("thinking_budget", None), body.pop("thinking", None)
    if thinking is False:
        body["thinking"] = {"type": "disabled"}
    elif thinking or budget is not None:
        body["thinking"] = {"type": "enabled"}
        if budget is not None:
            body["thinking"]["token_budget"] = budget


def _messages(vendor: CohereVendor, call: LLMCall) -> list[Body]:
    try:
        messages = chat_messages(call.prompt_messages)
        for i, message in enumerate(messages):
            _check_parts(i, message["content"])
    except InvalidRequestError as error:
        error.provider, error.model = vendor.name, call.model
        raise
    return [_message(message) for message in messages]


def _message(message: Body) -> Body:
    """Return a message without fields unknown to the API; text before a tool call is a plan."""
    content = message["content"]
    if "tool_calls" in message and content:
        message = {**message, "tool_plan": content, "content": None}
    return {key: value for key, value in message.items() if key != "name" and value is not None}


def _check_parts(index: int, content: str | list[Body] | None) -> None:
    for j, part in enumerate(content if isinstance(content, list) else ()):
        if part["type"] not in _PARTS:
            raise InvalidRequestError(
                field=f"prompt_messages[{index}].content[{j}]",
                problem=f"the API takes text and images only, not {part['type']}",
            )
