"""The provider of the type `anthropic`.

The official SDK makes the requests. The streamed body is parsed here, because building the SDK's
objects costs more than all other work for a chunk together. Every answer is streamed, even for a
caller who wants the whole: only a stream shows a silent vendor. An answer that breaks off before
the vendor's last event is an error. Retries are left to the worker.
"""

import time
from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any, Final, cast

import anthropic
import httpx2
from pydantic import JsonValue

from invokeq.protocol.entities import ModelType
from invokeq.protocol.errors import InvalidRequestError
from invokeq_providers.anthropic.errors import HTTP_FAULTS, KINDS, raise_reported
from invokeq_providers.anthropic.events import MessageEvents
from invokeq_providers.anthropic.messages import (
    THOUGHTS,
    Body,
    system_prompt,
    thinking,
    tools,
    turns,
)
from invokeq_providers.base import LLMCall
from invokeq_providers.chat.request import chat_parameters
from invokeq_providers.chat.response import ChatAnswer
from invokeq_providers.chunks import LLMChunk
from invokeq_providers.http.client import new_http_client
from invokeq_providers.http.event_stream import events_of, type_of
from invokeq_providers.http.vendor import VendorOptions, VendorProvider
from invokeq_providers.options import parse_options

_OUR_PARAMETERS: Final = frozenset(
    {"thinking", "thinking_budget", "thinking_display", "effort", "response_format"}
)


class AnthropicOptions(VendorOptions):
    """Options of the type `anthropic`; `tool_call_fragments` streams tool calls piece by piece."""

    tool_call_fragments: bool = False


class AnthropicProvider(VendorProvider):
    """Provider of the type `anthropic`."""

    vendor_url = "https://api.anthropic.com"
    facts_name = "anthropic"
    model_types: frozenset[ModelType] = frozenset({ModelType.LLM})

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        self._options = parse_options(AnthropicOptions, name, options)
        super().__init__(name, options, self._options, KINDS)
        self._client: anthropic.AsyncAnthropic | None = None

    async def start(self, model_types: Collection[ModelType] | None = None) -> None:
        del model_types  # one client serves all types
        self._open()

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def llm(self, call: LLMCall) -> AsyncGenerator[LLMChunk, None]:
        body = self._body(call)
        fragments = self._options.tool_call_fragments
        answer = ChatAnswer(call, time.monotonic, fragments=fragments)
        reader = MessageEvents()

        def feed(event: Any) -> LLMChunk | None:
            raise_reported(self.errors, call.model, event, answer.chunks)
            return answer.feed(reader.read(event))

        async with (
            self.errors.translated(call.model, answer),
            self._post(body) as response,
            aclosing(
                events_of(response.aiter_bytes(), _is_last, HTTP_FAULTS, call.heartbeat)
            ) as events,
        ):
            async for event in events:
                chunk = self.errors.read(call.model, feed, event, answer.chunks)
                if chunk is None:
                    # An event without output, such as a ping, still shows a living vendor.
                    call.heartbeat()
                else:
                    yield chunk
            if not answer.finish_reason:
                raise self.errors.broken_off(call.model, answer.chunks)
            last = answer.last()
            if reader.thoughts:
                # The next turn of a tool loop must send the signed thoughts back.
                last.delta.message.opaque_body = cast(JsonValue, {THOUGHTS: reader.thoughts})
            yield last

    def _open(self) -> anthropic.AsyncAnthropic:
        if self._client is None:
            http_client = new_http_client(
                anthropic.DefaultAioHttpClient,
                anthropic.DefaultAsyncHttpxClient,
                self._options.connect_timeout,
                self._options.read_timeout,
            )
            self._client = anthropic.AsyncAnthropic(
                # Never None: the SDK would look for keys in the environment and on the disk, and
                # send such a key to any base_url.
                api_key=self.key or "none",
                base_url=self.url,
                # The worker retries, by the retry policy.
                max_retries=0,
                timeout=http_client.timeout,
                http_client=http_client,
                open_telemetry=False,
            )
        return self._client

    @asynccontextmanager
    async def _post(self, body: Body) -> AsyncGenerator[httpx2.Response, None]:
        """Yield the response to a request; close the connection after the block, also on errors."""
        answer = await self._open().post(
            "/v1/messages",
            body=body,
            cast_to=httpx2.Response,
            stream=True,
            stream_cls=cast(Any, anthropic.AsyncStream[Any]),
        )
        response = cast(httpx2.Response, answer)
        try:
            yield response
        finally:
            # An answer closed early must free the connection and stop the vendor's work.
            await response.aclose()

    def _body(self, call: LLMCall) -> Body:
        given = chat_parameters(call.parameters, provider=self.name, model=call.model)
        body: Body = {
            "model": call.model,
            **{name: value for name, value in given.items() if name not in _OUR_PARAMETERS},
            "messages": self._turns(call),
            "stream": True,
        }
        extra = {
            "system": system_prompt(call.prompt_messages),
            "tools": tools(call.tools),
            "stop_sequences": list(call.stop),
            "thinking": thinking(call.parameters, call.facts),
            "output_config": _output_config(given),
            "metadata": {"user_id": call.user} if call.user else None,
        }
        return body | {name: value for name, value in extra.items() if value}

    def _turns(self, call: LLMCall) -> list[Body]:
        try:
            return turns(call.prompt_messages)
        except InvalidRequestError as error:
            error.provider, error.model = self.name, call.model
            raise


def _output_config(given: Mapping[str, Any]) -> Body:
    """Return the parameters `effort` and `response_format` as one object; schemas have no name."""
    config: Body = {"effort": given["effort"]} if "effort" in given else {}
    response_format = given.get("response_format")
    if response_format and response_format["type"] == "json_schema":
        schema = _fitting(response_format["json_schema"]["schema"])
        config["format"] = {"type": "json_schema", "schema": schema}
    return config


def _fitting(schema: Body) -> Body:
    """Return a schema as the SDK fits schemas to the API; unchanged if the SDK cannot read one."""
    try:
        return anthropic.transform_schema(schema)
    except (ValueError, AssertionError, TypeError, AttributeError):
        return schema  # the vendor's answer will name the fault


def _is_last(event: Any) -> bool:
    return type_of(event) == "message_stop"
