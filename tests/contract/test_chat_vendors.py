"""Peculiarities of the chat models of Anthropic and Cohere; test_llm_providers has the rest.

Against aimock, and against recorded answers of the documentation: "Streaming messages", "Tool use"
and "Errors" (Anthropic), "A Guide to Streaming Responses" and "Streaming for tool use" (Cohere).
"""

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from invokeq.protocol.entities import LLMResultChunk, PromptMessageTool
from invokeq.protocol.errors import (
    InvokeqError,
    ProviderUnavailableError,
    RateLimitedError,
    RejectedByProviderError,
)
from invokeq.protocol.requests import LLMRequest
from invokeq_providers import Provider, prepare_llm
from invokeq_providers.anthropic import AnthropicProvider
from invokeq_providers.chat.collect import collect
from invokeq_providers.chunks import as_entity
from invokeq_providers.cohere import CohereProvider
from tests.contract.vendors import WEATHER_CALLS, Aimock
from tests.support.vendors.recorded import Recorded, streamed
from tests.support.waiting import eventually_async

pytestmark = pytest.mark.usefixtures("no_certificates")

WEATHER = PromptMessageTool(name="weather", description="Tells.", parameters={"type": "object"})
USER: dict[str, Any] = {"role": "user", "content": "Grüße 世界"}
OPUS = "claude-opus-5-5"
HAIKU = "claude-haiku-4-5"
COMMAND = "command-a-03-2025"


@pytest.fixture
async def claude(recorded: Recorded) -> AsyncGenerator[AnthropicProvider, None]:
    provider = AnthropicProvider("anthropic", {"base_url": recorded.url, "any_model": False})
    yield provider
    await provider.close()


@pytest.fixture
async def command(recorded: Recorded) -> AsyncGenerator[CohereProvider, None]:
    provider = CohereProvider("cohere", {"base_url": recorded.url, "any_model": False})
    yield provider
    await provider.close()


async def ask(provider: Provider, model: str, **request: Any) -> list[LLMResultChunk]:
    given = {"provider": "x", "model": model, "prompt_messages": [USER], **request}
    call = prepare_llm(LLMRequest.model_validate(given), provider, user="ann")
    async with aclosing(provider.llm(call)) as chunks:
        return [as_entity(chunk) async for chunk in chunks]


def text_of(chunks: Sequence[LLMResultChunk]) -> str:
    return "".join(chunk.delta.message.get_text_content() for chunk in chunks)


def started(**usage: int) -> dict[str, Any]:
    return {"type": "message_start", "message": {"id": "m", "usage": usage}}


def block(index: int, kind: str, *deltas: dict[str, Any], **fields: Any) -> list[dict[str, Any]]:
    return [
        {"type": "content_block_start", "index": index, "content_block": {"type": kind, **fields}},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def text_block(index: int, *texts: str) -> list[dict[str, Any]]:
    return block(index, "text", *({"type": "text_delta", "text": t} for t in texts), text="")


def ended(reason: str, **usage: int) -> list[dict[str, Any]]:
    delta = {"stop_reason": reason, "stop_sequence": None}
    return [{"type": "message_delta", "delta": delta, "usage": usage}, {"type": "message_stop"}]


async def test_claude_is_asked_in_its_own_words(
    claude: AnthropicProvider, recorded: Recorded
) -> None:
    recorded.answer(streamed(started(), *text_block(0, "a"), *ended("end_turn")))
    await ask(
        claude,
        OPUS,
        prompt_messages=[{"role": "system", "content": "Be terse."}, USER],
        tools=[WEATHER],
        stop=["END"],
        completion_params={"effort": "low", "thinking_display": "omitted", "temperature": 0.3},
    )
    asked = recorded.asked[0]
    assert asked.path == "/v1/messages"
    assert asked.body == {
        "model": OPUS,
        "max_tokens": 8192,
        "system": "Be terse.",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Grüße 世界"}]}],
        "tools": [
            {
                "name": "weather",
                "description": "Tells.",
                "input_schema": {"type": "object", "properties": {}},
            }
        ],
        "stop_sequences": ["END"],
        "thinking": {"type": "adaptive", "display": "omitted"},
        "output_config": {"effort": "low"},
        "metadata": {"user_id": "ann"},
        "stream": True,
    }


@pytest.mark.parametrize(
    ("model", "parameters", "thinking"),
    [
        (HAIKU, {}, None),
        (HAIKU, {"thinking": True}, {"type": "enabled", "budget_tokens": 1024}),
        (HAIKU, {"thinking_budget": 2000}, {"type": "enabled", "budget_tokens": 2000}),
        (HAIKU, {"thinking": False, "thinking_budget": 2000}, {"type": "disabled"}),
        ("claude-sonnet-5-5", {"thinking": True}, {"type": "adaptive", "display": "summarized"}),
        ("claude-sonnet-5-5", {"thinking": False}, {"type": "disabled"}),
        (OPUS, {"thinking": True}, None),
    ],
)
async def test_claude_thinks_as_its_model_can(
    claude: AnthropicProvider,
    recorded: Recorded,
    model: str,
    parameters: dict[str, Any],
    thinking: dict[str, Any] | None,
) -> None:
    recorded.answer(streamed(started(), *text_block(0, "a"), *ended("end_turn")))
    await ask(claude, model, completion_params=parameters)
    assert recorded.asked[0].body.get("thinking") == thinking


@pytest.mark.parametrize(
    ("schema", "written"),
    [
        (
            {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}},
            {
                "type": "object",
                "properties": {"n": {"type": "integer", "description": "{minimum: 1}"}},
                "additionalProperties": False,
            },
        ),
        ({"type": ["object", "null"]}, {"type": ["object", "null"]}),
        ({"properties": {}}, {"properties": {}}),
    ],
)
async def test_claude_keeps_to_a_schema(
    claude: AnthropicProvider, recorded: Recorded, schema: Any, written: Any
) -> None:
    recorded.answer(streamed(started(), *text_block(0, "{}"), *ended("end_turn")))
    text = json.dumps({"schema": schema, "name": "llm_response"})
    parameters = {"response_format": "json_schema", "json_schema": text}
    await ask(claude, OPUS, completion_params=parameters)
    body = recorded.asked[0].body
    assert body["output_config"] == {"format": {"type": "json_schema", "schema": written}}
    assert "json_schema" not in body
    assert "response_format" not in body


async def test_claudes_tokens_are_counted_wherever_they_come_from(
    claude: AnthropicProvider, recorded: Recorded
) -> None:
    usage = {
        "input_tokens": 10,
        "cache_creation_input_tokens": 200,
        "cache_read_input_tokens": 3000,
    }
    events = [started(**usage, output_tokens=1), *text_block(0, "a"), *ended("x", output_tokens=7)]
    recorded.answer(streamed(*events))
    counted = (await ask(claude, OPUS))[-1].delta.usage
    assert counted is not None
    assert (counted.prompt_tokens, counted.completion_tokens) == (3210, 7)
    assert str(counted.prompt_price) == "0.0128400"


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "content_filter"),
        ("something_new", "stop"),
    ],
)
async def test_claude_says_why_it_stops(
    claude: AnthropicProvider, recorded: Recorded, reason: str, finish: str
) -> None:
    recorded.answer(streamed(started(), *text_block(0, "a"), *ended(reason)))
    chunks = await ask(claude, OPUS)
    assert chunks[-1].delta.finish_reason == finish


async def test_claudes_thoughts_go_along_for_the_next_turn(
    claude: AnthropicProvider, recorded: Recorded
) -> None:
    thought = [
        {"type": "thinking_delta", "thinking": "six "},
        {"type": "thinking_delta", "thinking": "7"},
    ]
    signed = {"type": "signature_delta", "signature": "sig"}
    events = [
        started(),
        *block(0, "thinking", *thought, signed, thinking="", signature=""),
        *block(1, "redacted_thinking", data="secret"),
        *text_block(2, "4", "2"),
        *ended("end_turn"),
    ]
    recorded.answer(streamed(*events))
    chunks = await ask(claude, OPUS)
    assert text_of(chunks) == "<think>\nsix 7\n</think>42"
    kept = {
        "anthropic_thinking": [
            {"type": "thinking", "thinking": "six 7", "signature": "sig"},
            {"type": "redacted_thinking", "data": "secret"},
        ]
    }
    whole = collect(chunks).delta.message
    assert whole.opaque_body == kept

    recorded.answer(streamed(started(), *text_block(0, "a"), *ended("end_turn")))
    await ask(claude, OPUS, prompt_messages=[USER, whole.model_dump(mode="json"), USER])
    sent = recorded.asked[-1].body["messages"][1]["content"]
    assert sent == [*kept["anthropic_thinking"], {"type": "text", "text": "42"}]


async def test_claude_calls_tools_with_and_without_arguments(
    claude: AnthropicProvider, recorded: Recorded
) -> None:
    pieces = [{"type": "input_json_delta", "partial_json": p} for p in ("", '{"city": "Os', 'lo"}')]
    events = [
        started(),
        *text_block(0, "Let me see."),
        *block(1, "tool_use", *pieces, id="t1", name="weather", input={}),
        *block(2, "tool_use", id="t2", name="now", input={}),
        *block(3, "tool_use", id="t3", name="whole", input={"a": 1}),
        *ended("tool_use"),
    ]
    recorded.answer(streamed(*events))
    last = (await ask(claude, OPUS, tools=[WEATHER]))[-1]
    assert last.delta.finish_reason == "tool_calls"
    assert [
        (call.id, call.function.name, call.function.arguments)
        for call in last.delta.message.tool_calls
    ] == [("t1", "weather", '{"city": "Oslo"}'), ("t2", "now", "{}"), ("t3", "whole", '{"a":1}')]


@pytest.mark.aimock
async def test_a_tool_loop_with_thoughts_goes_on(aimock: Aimock) -> None:
    provider = AnthropicProvider("anthropic", {"base_url": aimock.url, "any_model": False})
    question = {"role": "user", "content": "ponder"}
    options: dict[str, Any] = {"completion_params": {"thinking": True}, "tools": [WEATHER]}
    answer = collect(await ask(provider, HAIKU, prompt_messages=[question], **options))
    message = answer.delta.message.model_dump(mode="json")
    tool_call_id = answer.delta.message.tool_calls[0].id
    result = {"role": "tool", "content": "sunny", "tool_call_id": tool_call_id}
    again = await ask(provider, HAIKU, prompt_messages=[question, message, result], **options)
    assert again[-1].delta.finish_reason == "tool_calls"
    forgotten = {**message, "opaque_body": None}
    with pytest.raises(RejectedByProviderError, match="thinking"):
        await ask(provider, HAIKU, prompt_messages=[question, forgotten, result], **options)
    await provider.close()


@pytest.mark.parametrize(
    ("kind", "error", "fields"),
    [
        ("overloaded_error", ProviderUnavailableError, {"status": 529}),
        ("api_error", ProviderUnavailableError, {"status": 500}),
        ("timeout_error", ProviderUnavailableError, {"status": 504}),
        ("rate_limit_error", RateLimitedError, {}),
        ("invalid_request_error", RejectedByProviderError, {"status": 400}),
        ("something_new", ProviderUnavailableError, {"status": 500}),
    ],
)
async def test_claude_fails_in_the_middle(
    claude: AnthropicProvider,
    recorded: Recorded,
    kind: str,
    error: type[InvokeqError],
    fields: dict[str, Any],
) -> None:
    reported = {"type": "error", "error": {"type": kind, "message": "oh  no"}}
    recorded.answer(streamed(started(), *text_block(0, "a", "b")[:-1], reported))
    with pytest.raises(error, match="oh no") as caught:
        await ask(claude, OPUS)
    assert type(caught.value) is error
    assert {name: getattr(caught.value, name) for name in fields} == fields


@pytest.mark.parametrize(
    "events",
    [
        [started(), *text_block(0, "a")],
        [started(), *text_block(0, "a"), {"type": "message_stop"}],
        [started(), *text_block(0, "a"), b"data: {nonsense}\n\n"],
        [started(), *text_block(0, "a"), b"data: []\n\n"],
        [started(), *text_block(0, "a"), {"type": "content_block_delta", "index": 9, "delta": {}}],
        [started(), *text_block(0, "a"), {"type": "message_delta", "delta": 3}],
    ],
)
async def test_claude_is_understood_or_not_at_all(
    claude: AnthropicProvider, recorded: Recorded, events: list[Any]
) -> None:
    recorded.answer(streamed(*events))
    with pytest.raises(ProviderUnavailableError) as caught:
        await ask(claude, OPUS)
    assert caught.value.chunks == 1


async def test_claude_is_alive_while_it_pings(
    claude: AnthropicProvider, recorded: Recorded
) -> None:
    pings = [{"type": "ping"}] * 3
    recorded.answer(streamed(started(), *pings, *text_block(0, "a"), *ended("end_turn")))
    given = {"provider": "x", "model": OPUS, "prompt_messages": [USER]}
    call = prepare_llm(LLMRequest.model_validate(given), claude)
    heard: list[None] = []
    async with aclosing(claude.llm(replace(call, heartbeat=lambda: heard.append(None)))) as chunks:
        await anext(chunks)
    assert len(heard) > len(pings)


@pytest.mark.usefixtures("http")
async def test_closing_claude_closes_its_connection(
    claude: AnthropicProvider, recorded: Recorded
) -> None:
    recorded.answer(streamed(started(), *text_block(0, "a"), end="hang"))
    given = {"provider": "x", "model": OPUS, "prompt_messages": [USER]}
    chunks = claude.llm(prepare_llm(LLMRequest.model_validate(given), claude))
    await anext(chunks)
    assert recorded.open == 1
    await chunks.aclose()
    await eventually_async("the connection is closed", lambda: recorded.open == 0)


def said(**message: Any) -> dict[str, Any]:
    return {"type": "content-delta", "index": 0, "delta": {"message": message}}


def finished(reason: str = "COMPLETE", **fields: Any) -> dict[str, Any]:
    return {"type": "message-end", "delta": {"finish_reason": reason, **fields}}


async def test_command_is_asked_in_its_own_words(
    command: CohereProvider, recorded: Recorded
) -> None:
    recorded.answer(streamed(said(content={"text": "a"}), finished()))
    assistant = {
        "role": "assistant",
        "content": "I will look.",
        "tool_calls": [
            {"id": "t", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
        ],
    }
    result = {"role": "tool", "content": "sunny", "tool_call_id": "t", "name": "weather"}
    await ask(
        command,
        COMMAND,
        prompt_messages=[{"role": "system", "content": "s"}, USER, assistant, result],
        tools=[WEATHER],
        stop=["END"],
        completion_params={"temperature": 0.5, "top_p": 0.9, "top_k": 3, "max_tokens": 5},
    )
    assert recorded.asked[0].path == "/v2/chat"
    assert recorded.asked[0].body == {
        "model": COMMAND,
        "messages": [
            {"role": "system", "content": "s"},
            {"role": "user", "content": "Grüße 世界"},
            {
                "role": "assistant",
                "tool_plan": "I will look.",
                "tool_calls": assistant["tool_calls"],
            },
            {"role": "tool", "content": "sunny", "tool_call_id": "t"},
        ],
        "tools": [{"type": "function", "function": WEATHER.model_dump()}],
        "stop_sequences": ["END"],
        "temperature": 0.5,
        "p": 0.9,
        "k": 3,
        "max_tokens": 5,
        "stream": True,
    }


@pytest.mark.parametrize(
    ("model", "parameters", "field", "written"),
    [
        (COMMAND, {"response_format": "json_object"}, "response_format", {"type": "json_object"}),
        (
            COMMAND,
            {"response_format": "json_schema", "json_schema": '{"type": "object"}'},
            "response_format",
            {"type": "json_object", "json_schema": {"type": "object"}},
        ),
        ("command-a-reasoning-08-2025", {"thinking": False}, "thinking", {"type": "disabled"}),
        (
            "command-a-reasoning-08-2025",
            {"thinking_budget": 99},
            "thinking",
            {"type": "enabled", "token_budget": 99},
        ),
    ],
)
async def test_commands_parameters_become_objects(
    command: CohereProvider,
    recorded: Recorded,
    model: str,
    parameters: dict[str, Any],
    field: str,
    written: dict[str, Any],
) -> None:
    recorded.answer(streamed(said(content={"text": "a"}), finished()))
    await ask(command, model, completion_params=parameters)
    body = recorded.asked[0].body
    assert body[field] == written
    assert not {"json_schema", "thinking_budget"} & body.keys()


async def test_more_stop_words_than_command_takes_are_ours(
    command: CohereProvider, recorded: Recorded
) -> None:
    recorded.answer(streamed(said(content={"text": "one END two"}), finished()))
    chunks = await ask(command, COMMAND, stop=["1", "2", "3", "4", "5", "END"])
    assert "stop_sequences" not in recorded.asked[0].body
    assert text_of(chunks) == "one "


async def test_commands_thoughts_and_costs(command: CohereProvider, recorded: Recorded) -> None:
    usage = {
        "billed_units": {"input_tokens": 12.0, "output_tokens": 3.0},
        "tokens": {"input_tokens": 90.0, "output_tokens": 9.0},
    }
    events: list[dict[str, Any]] = [
        {"type": "message-start", "id": "i", "delta": {"message": {"role": "assistant"}}},
        said(content={"thinking": "six "}),
        said(content={"thinking": "7"}),
        {"type": "content-end", "index": 0},
        said(content={"text": "4"}),
        {"type": "citation-start", "index": 0, "delta": {"message": {"citations": {}}}},
        said(content={"text": "2"}),
        finished("MAX_TOKENS", usage=usage),
    ]
    recorded.answer(streamed(*events))
    chunks = await ask(command, COMMAND)
    assert text_of(chunks) == "<think>\nsix 7\n</think>42"
    counted = chunks[-1].delta.usage
    assert counted is not None
    assert (counted.prompt_tokens, counted.completion_tokens) == (12, 3)
    assert chunks[-1].delta.finish_reason == "length"


@pytest.mark.aimock
async def test_command_calls_tools(aimock: Aimock) -> None:
    provider = CohereProvider("cohere", {"base_url": aimock.url})
    messages = [{"role": "user", "content": "weather"}]
    last = (await ask(provider, COMMAND, prompt_messages=messages, tools=[WEATHER]))[-1]
    await provider.close()
    names = [call.function.name for call in last.delta.message.tool_calls]
    assert names == [call["name"] for call in WEATHER_CALLS]
    assert last.delta.finish_reason == "tool_calls"
    assert last.delta.message.tool_calls[0].function.arguments.startswith('{"city"')


@pytest.mark.parametrize(
    "events",
    [
        [said(content={"text": "a"})],
        [said(content={"text": "a"}), finished("ERROR", error="oh no")],
        [said(content={"text": "a"}), finished("TIMEOUT")],
        [said(content={"text": "a"}), b"data: {nonsense}\n\n"],
        [said(content={"text": "a"}), b"data: []\n\n"],
        [said(content={"text": "a"}), b"data: {}\n\n"],
        [said(content={"text": "a"}), b"data: [DONE]\n\n"],
        [said(content={"text": "a"}), {"type": "message-end", "delta": [1]}],
        [said(content={"text": "a"}), {"type": "tool-call-start", "index": 0}],
    ],
)
async def test_command_is_understood_or_not_at_all(
    command: CohereProvider, recorded: Recorded, events: list[Any]
) -> None:
    recorded.answer(streamed(*events))
    with pytest.raises(ProviderUnavailableError) as caught:
        await ask(command, COMMAND)
    assert caught.value.chunks == 1


async def test_closing_command_closes_its_connection(
    command: CohereProvider, recorded: Recorded
) -> None:
    recorded.answer(streamed(said(content={"text": "a"}), end="hang"))
    given = {"provider": "x", "model": COMMAND, "prompt_messages": [USER]}
    chunks = command.llm(prepare_llm(LLMRequest.model_validate(given), command))
    await anext(chunks)
    assert recorded.open == 1
    await chunks.aclose()
    await eventually_async("the connection is closed", lambda: recorded.open == 0)
