"""An answer is whole or an error: what vendors send beside what their documentation says.

The shapes are from public bug reports about vendors and servers with the API of OpenAI.
"""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import pytest

from invokeq.protocol.entities import LLMResultChunk
from invokeq.protocol.errors import (
    CredentialsError,
    InvokeqError,
    ProviderUnavailableError,
    RateLimitedError,
    RejectedByProviderError,
)
from invokeq.protocol.requests import LLMRequest
from invokeq_providers import Provider, prepare_llm
from invokeq_providers.chat.collect import collect
from invokeq_providers.cohere import CohereProvider
from invokeq_providers.openai import OpenAIProvider
from tests.contract import test_vendor_faults
from tests.contract.test_vendor_faults import KEY, Case
from tests.support.vendors.recorded import Answer, Recorded, said

pytestmark = pytest.mark.usefixtures("no_certificates")

case = test_vendor_faults.case
provider = test_vendor_faults.provider

FAILURES: list[tuple[Any, type[InvokeqError], int | None]] = [
    ({"error": {"message": "no luck", "code": 503}}, ProviderUnavailableError, 503),
    ({"error": {"message": "no luck", "type": "rate_limit_exceeded"}}, RateLimitedError, None),
    ({"error": {"message": "no luck", "code": "invalid_api_key"}}, CredentialsError, None),
    ({"error": {"message": "no luck", "type": "overloaded_error"}}, ProviderUnavailableError, 529),
    ({"error": "no luck"}, ProviderUnavailableError, 500),
    ({"errors": [{"message": "no luck"}]}, ProviderUnavailableError, 500),
    ({"code": 50501, "message": "no luck", "data": None}, ProviderUnavailableError, 505),
    ({"code": 40001, "msg": "no luck"}, RejectedByProviderError, 400),
    ({"error_code": 18, "error_msg": "no luck"}, ProviderUnavailableError, 500),
    ({"detail": [{"loc": ["body"], "msg": "no luck"}]}, ProviderUnavailableError, 500),
    ([{"error": {"code": 429, "message": "no luck"}}], RateLimitedError, None),
    ({"base_resp": {"status_code": 1, "status_msg": "no luck"}}, ProviderUnavailableError, 500),
]


@pytest.mark.parametrize(("body", "error", "status"), FAILURES, ids=str)
async def test_a_success_that_reports_a_failure_is_the_typed_error(
    case: Case,
    provider: Provider,
    recorded: Recorded,
    body: Any,
    error: type[InvokeqError],
    status: int | None,
) -> None:
    if isinstance(body, list) and case.make is CohereProvider:
        pytest.skip("Cohere's SDK ends with a TypeError that has no body")
    recorded.answer(said(body))
    with pytest.raises(error) as caught:
        await case.ask(provider)
    assert type(caught.value) is error
    assert status is None or getattr(caught.value, "status") == status  # noqa: B009 -- by class
    assert error is CredentialsError or "no luck" in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        ["no luck"],
        {"errors": ["no luck"]},
        {"errors": {"field": 1, "message": "no luck"}},
        {"msg": "no luck"},
        {"error_msg": "no luck"},
        [{"error": {"message": "no luck"}}],
    ],
    ids=str,
)
async def test_the_words_of_a_refusal_are_kept_in_every_shape(
    case: Case, provider: Provider, recorded: Recorded, body: Any
) -> None:
    recorded.answer(said(body, 400))
    with pytest.raises(RejectedByProviderError, match="no luck"):
        await case.ask(provider)


@pytest.fixture
async def openai(recorded: Recorded) -> AsyncGenerator[Provider, None]:
    made = OpenAIProvider("acme", {"base_url": recorded.url, "api_key": KEY, "read_timeout": 5})
    yield made
    await made.close()


async def ask(provider: Provider, *, stream: bool, **request: Any) -> LLMResultChunk:
    """Ask an LLM; return the answer as one chunk."""
    given = {
        "provider": "acme",
        "model": "gpt-4o",
        "prompt_messages": [{"role": "user", "content": "u"}],
        "stream": stream,
        **request,
    }
    call = prepare_llm(LLMRequest.model_validate(given), provider)
    async with aclosing(provider.llm(call)) as chunks:
        return collect([chunk async for chunk in chunks])


def sse(*events: Any) -> Answer:
    """Return a stream of events; bytes are sent unchanged."""
    pieces = [
        e if isinstance(e, bytes) else b"data: %b\n\n" % json.dumps(e).encode() for e in events
    ]
    return Answer(tuple(pieces), headers={"content-type": "text/event-stream"})


def choice(finish: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, **fields, "finish_reason": finish}]}


def chat(stream: bool, message: dict[str, Any], finish: str = "stop") -> Answer:
    """Return one message, as a stream of one event or whole."""
    if not stream:
        return said(choice(finish, message=message))
    return sse(choice(delta=message), choice(finish, delta={}), b"data: [DONE]\n\n")


STREAMS = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])


@STREAMS
@pytest.mark.parametrize("error", [None, {"code": 502, "message": "no luck"}])
async def test_a_finish_reason_that_is_an_error(
    openai: Provider, recorded: Recorded, stream: bool, error: Any
) -> None:
    fields = {"delta" if stream else "message": {"content": "a"}, "error": error}
    event = choice("error", **fields)
    recorded.answer(sse(event, b"data: [DONE]\n\n") if stream else said(event))
    with pytest.raises(ProviderUnavailableError) as caught:
        await ask(openai, stream=stream)
    assert caught.value.status == (502 if error else 500)


@STREAMS
@pytest.mark.parametrize("event", [{"choices": []}, {"choices": None}, {}], ids=str)
async def test_an_answer_without_choices(
    openai: Provider, recorded: Recorded, stream: bool, event: Any
) -> None:
    recorded.answer(sse(event, b"data: [DONE]\n\n") if stream else said(event))
    with pytest.raises(ProviderUnavailableError) as caught:
        await ask(openai, stream=stream)
    assert caught.value.retryable


async def test_json_in_place_of_a_stream_is_an_answer(openai: Provider, recorded: Recorded) -> None:
    recorded.answer(chat(False, {"role": "assistant", "content": "whole"}))
    assert (await ask(openai, stream=True)).delta.message.content == "whole"


@STREAMS
async def test_text_beside_a_message(openai: Provider, recorded: Recorded, stream: bool) -> None:
    fields = {"delta" if stream else "message": {"content": "a"}, "text": ""}
    event = choice("stop", **fields)
    recorded.answer(sse(event, b"data: [DONE]\n\n") if stream else said(event))
    assert (await ask(openai, stream=stream)).delta.message.content == "a"


def piece(id_: str | None, name: str | None, arguments: Any, **index: int) -> dict[str, Any]:
    return {"id": id_, **index, "function": {"name": name, "arguments": arguments}}


@pytest.mark.parametrize(
    ("fragments", "expected"),
    [
        ([piece(None, "f", '{"a"'), piece(None, None, ": 1}")], ['{"a": 1}']),
        ([piece(None, "f", "{}"), piece(None, "f", '{"b": 2}')], ["{}", '{"b": 2}']),
        ([piece("1", "f", '{"a"', index=0), piece("2", None, ": 1}", index=0)], ['{"a": 1}']),
        ([piece("1", "f", '{"a"', index=0), piece("2", "f", ": 1}", index=0)], ['{"a": 1}']),
        ([piece("1", "f", "{}", index=0), piece("2", "f", "{}", index=0)], ["{}", "{}"]),
        ([piece("1", "f", {"a": 1}, index=0)], ['{"a":1}']),
        ([piece("1", "f", "", index=0)], ["{}"]),
        ([piece("1", "f", None, index=0)], ["{}"]),
        ([piece("1", "f", "null", index=0)], ["{}"]),
    ],
    ids=str,
)
async def test_tool_calls_in_unusual_fragments(
    openai: Provider, recorded: Recorded, fragments: list[Any], expected: list[str]
) -> None:
    events = [choice(delta={"tool_calls": [fragment]}) for fragment in fragments]
    recorded.answer(sse(*events, choice("tool_calls", delta={}), b"data: [DONE]\n\n"))
    calls = (await ask(openai, stream=True)).delta.message.tool_calls
    assert [call.function.arguments for call in calls] == expected
    assert {call.function.name for call in calls} == {"f"}
    assert len({call.id for call in calls}) == len(calls)


async def test_a_tool_without_parameters(openai: Provider, recorded: Recorded) -> None:
    recorded.answer(chat(False, {"content": "a"}))
    await ask(openai, stream=False, tools=[{"name": "f", "description": "d", "parameters": {}}])
    function = recorded.asked[0].body["tools"][0]["function"]
    assert function["parameters"] == {"type": "object", "properties": {}}


async def test_comments_and_blank_lines_are_signs_of_life(
    openai: Provider, recorded: Recorded
) -> None:
    heard: list[None] = []
    events = [choice("stop", delta={"content": "a"}), b"data: [DONE]\n\n"]
    recorded.answer(sse(b": keep-alive\n\n", b"\n", *events))
    given = {"provider": "acme", "model": "gpt-4o"}
    messages = [{"role": "user", "content": "u"}]
    request = LLMRequest.model_validate({**given, "prompt_messages": messages})
    call = prepare_llm(request, openai, heartbeat=lambda: heard.append(None))
    stream = openai.llm(call)
    await anext(stream)
    assert heard
    await stream.aclose()
