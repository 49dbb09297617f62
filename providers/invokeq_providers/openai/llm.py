"""OpenAI's chat and completion models.

An answer cut off before the vendor's end mark is an error, never a short answer.
"""

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, Final

import orjson

from invokeq.protocol.entities import AIModelEntity, LLMMode, ModelPropertyKey
from invokeq.protocol.errors import InvalidRequestError
from invokeq_providers.base import LLMCall
from invokeq_providers.chat.request import chat_messages, chat_parameters, chat_tools
from invokeq_providers.chat.response import ChatAnswer
from invokeq_providers.chunks import LLMChunk
from invokeq_providers.http.event_stream import events_of
from invokeq_providers.openai.api import Body, OpenAIVendor
from invokeq_providers.openai.errors import HTTP_FAULTS, raise_reported

_VENDOR_STOP_WORDS: Final = 4  # more are refused, and reasoning models refuse any


async def answer_chat(vendor: OpenAIVendor, call: LLMCall) -> AsyncGenerator[LLMChunk, None]:
    """Yield the chunks of the vendor's answer, the last chunk with usage.

    Closing the generator closes the connection to the vendor.
    """
    stop, rest = _split_stop(vendor, call)
    path = "/completions" if _is_completion(call.facts) else "/chat/completions"
    body = _body(vendor, call, stop)
    answer = ChatAnswer(
        call, time.monotonic, stop=rest, fragments=vendor.settings.tool_call_fragments
    )
    async with vendor.errors.translated(call.model, answer), vendor.post(path, body) as response:
        if not call.stream:
            whole = orjson.loads(await response.aread())
            raise_reported(vendor.errors, call.model, whole, 0)
            yield vendor.errors.read(call.model, answer.whole, whole)
            return
        async with aclosing(
            events_of(response.aiter_bytes(), _is_done, HTTP_FAULTS, call.heartbeat)
        ) as events:
            async for event in events:
                if event is None:
                    answer.done()
                    continue
                raise_reported(vendor.errors, call.model, event, answer.chunks)
                chunk = vendor.errors.read(call.model, answer.feed, event, answer.chunks)
                # An event without output, such as a piece of a tool call, still shows progress.
                if chunk is None:
                    call.heartbeat()
                else:
                    yield chunk
        if not answer.finish_reason or not answer.begun:
            raise vendor.errors.broken_off(call.model, answer.chunks)
        yield answer.last()


def _is_done(event: Any) -> bool:
    return event is None


def _split_stop(vendor: OpenAIVendor, call: LLMCall) -> tuple[Sequence[str], Sequence[str]]:
    """Return the stop words for the vendor, and the stop words to apply here."""
    reasoning = any(rule.name == "max_completion_tokens" for rule in call.facts.parameter_rules)
    refused = reasoning or len(call.stop) > _VENDOR_STOP_WORDS
    return ((), call.stop) if vendor.is_vendor and refused else (call.stop, ())


def _body(vendor: OpenAIVendor, call: LLMCall, stop: Sequence[str]) -> Body:
    body: Body = {
        "model": call.model,
        **chat_parameters(call.parameters, provider=vendor.name, model=call.model),
    }
    if _is_completion(call.facts):
        body["prompt"] = "\n".join(m.get_text_content() for m in call.prompt_messages)
    else:
        body["messages"] = _messages(vendor, call)
    if call.tools:
        body["tools"] = chat_tools(call.tools)
    if stop:
        body["stop"] = list(stop)
    if call.user:
        body["user"] = call.user
    if call.stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return body


def _messages(vendor: OpenAIVendor, call: LLMCall) -> list[Body]:
    try:
        return chat_messages(call.prompt_messages)
    except InvalidRequestError as error:
        error.provider, error.model = vendor.name, call.model
        raise


def _is_completion(facts: AIModelEntity) -> bool:
    return facts.model_properties.get(ModelPropertyKey.MODE) == LLMMode.COMPLETION.value
