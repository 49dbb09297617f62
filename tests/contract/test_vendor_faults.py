"""Every vendor adapter, in every kind of call, against a failing vendor.

Bodies of errors are those of the vendors' documentation: "Error codes" (OpenAI), "Errors"
(Anthropic), "Errors (status codes and description)" (Cohere), "Jina Search Foundation API" (Jina).
"""

import asyncio
from array import array
from base64 import b64encode
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import pytest

from invokeq.protocol.errors import (
    CredentialsError,
    InvokeqError,
    ProviderSilenceError,
    ProviderUnavailableError,
    RateLimitedError,
    RejectedByProviderError,
)
from invokeq.protocol.requests import LLMRequest
from invokeq_providers import Provider, prepare_llm
from invokeq_providers.anthropic import AnthropicProvider
from invokeq_providers.cohere import CohereProvider
from invokeq_providers.jina import JinaProvider
from invokeq_providers.openai import OpenAIProvider
from tests.contract import calls
from tests.support.vendors.recorded import Answer, Recorded, said, streamed
from tests.support.waiting import eventually_async

Ask = Callable[[Provider], Awaitable[Any]]

pytestmark = pytest.mark.usefixtures("no_certificates")

KEY = "key-of-a-test"
ROW = b64encode(array("f", [0.5, -1.0]).tobytes()).decode()


@dataclass(frozen=True)
class Case:
    """One kind of call to one vendor: the call, and the vendor's answer."""

    make: type[OpenAIProvider | AnthropicProvider | CohereProvider | JinaProvider]
    ask: Ask
    good: Answer
    error: Callable[[str], Any]
    """Wraps the words of an error as the vendor does."""


def llm(model: str) -> Ask:
    async def ask(provider: Provider) -> str:
        given = {
            "provider": "x",
            "model": model,
            "prompt_messages": [{"role": "user", "content": "u"}],
        }
        call = prepare_llm(LLMRequest.model_validate(given), provider)
        async with aclosing(provider.llm(call)) as chunks:
            return "".join([c.delta.message.get_text_content() async for c in chunks])

    return ask


def embed(model: str) -> Ask:
    return lambda provider: provider.text_embedding(calls.embedding(provider, model, ["hello"]))


def rank(model: str) -> Ask:
    return lambda provider: provider.rerank(calls.rerank(provider, model, "q", ["a"]))


def _speak(provider: Provider) -> Awaitable[Any]:
    return provider.tts(calls.speech(provider, "tts-1", "Hello"))


def _transcribe(provider: Provider) -> Awaitable[Any]:
    return provider.speech2text(calls.transcription(provider, "whisper-1", b"RIFF"))


def _moderate(provider: Provider) -> Awaitable[Any]:
    return provider.moderation(calls.moderation(provider, "omni-moderation-latest", "hello"))


def openai_error(words: str) -> Any:
    return {"error": {"message": words, "type": "t", "param": None, "code": "c"}}


def anthropic_error(words: str) -> Any:
    return {"type": "error", "error": {"type": "t", "message": words}, "request_id": "r"}


def plain_error(words: str) -> Any:
    return {"id": "i", "message": words}


def jina_error(words: str) -> Any:
    return {"detail": words}


ANTHROPIC_ANSWER = streamed(
    {"type": "message_start", "message": {"usage": {"input_tokens": 3, "output_tokens": 1}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "ping"},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
    {"type": "message_stop"},
)
COHERE_ANSWER = streamed(
    {"type": "message-start", "id": "i", "delta": {"message": {"role": "assistant"}}},
    {
        "type": "content-delta",
        "index": 0,
        "delta": {"message": {"content": {"text": "Hello"}}},
    },
    {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": {}}},
)
EMBEDDINGS = said({"data": [{"index": 0, "embedding": ROW}], "usage": {"total_tokens": 2}})
RESULTS = said({"results": [{"index": 0, "relevance_score": 0.5}]})
AUDIO = Answer((b"\xff\xfb\x90\x00",) * 3, headers={"content-type": "audio/mpeg"})

CASES = {
    "openai-embedding": Case(
        OpenAIProvider, embed("text-embedding-3-small"), EMBEDDINGS, openai_error
    ),
    "openai-tts": Case(OpenAIProvider, _speak, AUDIO, openai_error),
    "openai-speech2text": Case(OpenAIProvider, _transcribe, said({"text": "a"}), openai_error),
    "openai-moderation": Case(
        OpenAIProvider, _moderate, said({"results": [{"flagged": False}]}), openai_error
    ),
    "anthropic-llm": Case(
        AnthropicProvider, llm("claude-opus-5-5"), ANTHROPIC_ANSWER, anthropic_error
    ),
    "cohere-llm": Case(CohereProvider, llm("command-a-03-2025"), COHERE_ANSWER, plain_error),
    "cohere-embedding": Case(
        CohereProvider, embed("embed-v4.0"), said({"embeddings": {"base64": [ROW]}}), plain_error
    ),
    "cohere-rerank": Case(CohereProvider, rank("rerank-v3.5"), RESULTS, plain_error),
    "jina-embedding": Case(JinaProvider, embed("jina-embeddings-v3"), EMBEDDINGS, jina_error),
    "jina-rerank": Case(JinaProvider, rank("jina-reranker-v3"), RESULTS, jina_error),
}


@pytest.fixture(params=CASES.values(), ids=list(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    return request.param


@pytest.fixture
async def provider(case: Case, recorded: Recorded) -> AsyncGenerator[Provider, None]:
    made = case.make("acme", {"base_url": recorded.url, "api_key": KEY, "read_timeout": 5})
    yield made
    await made.close()


async def test_an_answer_comes_through(case: Case, provider: Provider, recorded: Recorded) -> None:
    recorded.answer(case.good)
    await case.ask(provider)
    sent = recorded.asked[0].headers
    assert KEY in sent.get("authorization", "") + sent.get("x-api-key", "")


async def test_connections_are_used_again(
    case: Case, provider: Provider, recorded: Recorded
) -> None:
    recorded.answer(case.good)
    for _ in range(3):
        await case.ask(provider)
    assert recorded.seen == 1


@pytest.mark.parametrize(
    ("status", "headers", "error", "fields"),
    [
        (400, {}, RejectedByProviderError, {"status": 400, "retryable": False}),
        (401, {}, CredentialsError, {"retryable": False}),
        (404, {}, RejectedByProviderError, {"status": 404}),
        (422, {}, RejectedByProviderError, {"status": 422}),
        (429, {"retry_after": "7"}, RateLimitedError, {"retry_after": 7.0, "retryable": True}),
        (429, {}, RateLimitedError, {"retry_after": None}),
        (500, {}, ProviderUnavailableError, {"status": 500, "retryable": True}),
        (503, {"retry_after": "2"}, ProviderUnavailableError, {"retry_after": 2.0}),
    ],
)
async def test_a_refusal_becomes_an_error_of_ours(
    case: Case,
    provider: Provider,
    recorded: Recorded,
    status: int,
    headers: dict[str, str],
    error: type[InvokeqError],
    fields: dict[str, Any],
) -> None:
    recorded.answer(said(case.error(f"no:  Grüße\nwith {KEY}"), status, **headers))
    with pytest.raises(error) as caught:
        await case.ask(provider)
    assert type(caught.value) is error
    assert {name: getattr(caught.value, name) for name in fields} == fields
    assert caught.value.provider == "acme"
    assert caught.value.model
    assert KEY not in str(caught.value)
    assert isinstance(caught.value, CredentialsError) or "no: Grüße with ***" in str(caught.value)
    assert len(recorded.asked) == 1


async def test_a_refusal_that_is_no_json(
    case: Case, provider: Provider, recorded: Recorded
) -> None:
    page = Answer((b"<html>gateway</html>",), 502, {"content-type": "text/html"})
    recorded.answer(page)
    with pytest.raises(ProviderUnavailableError) as caught:
        await case.ask(provider)
    assert caught.value.status == 502


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b"null", b'"text"'])
async def test_an_answer_that_is_none(
    case: Case, provider: Provider, recorded: Recorded, body: bytes
) -> None:
    recorded.answer(Answer((body,) if body else (), headers={"content-type": "application/json"}))
    with pytest.raises(ProviderUnavailableError) as caught:
        await case.ask(provider)
    assert caught.value.retryable


async def test_an_answer_that_breaks_off(
    case: Case, provider: Provider, recorded: Recorded
) -> None:
    *pieces, last = case.good.pieces
    part = (*pieces, last[: len(last) // 2])
    recorded.answer(Answer(part, headers=case.good.headers, end="cut"))
    with pytest.raises(ProviderUnavailableError) as caught:
        await case.ask(provider)
    assert caught.value.provider == "acme"


@pytest.mark.parametrize("after", [0, 1])
async def test_a_silent_vendor_is_given_up(case: Case, recorded: Recorded, after: int) -> None:
    options = {"base_url": recorded.url, "api_key": KEY, "read_timeout": 0.15}
    provider = case.make("acme", options)
    recorded.answer(Answer(case.good.pieces[:after], headers=case.good.headers, end="hang"))
    if after == 1 and len(case.good.pieces) == 1:
        # Half of the only piece, so that there is something to wait for.
        half = case.good.pieces[0][: len(case.good.pieces[0]) // 2]
        recorded.answer(Answer((half,), headers=case.good.headers, end="hang"))
    with pytest.raises(ProviderSilenceError, match=r"0\.15 s"):
        await case.ask(provider)
    await provider.close()


async def test_a_vendor_that_is_not_there(case: Case, unused_tcp_port: int) -> None:
    provider = case.make("acme", {"base_url": f"http://127.0.0.1:{unused_tcp_port}"})
    with pytest.raises(ProviderUnavailableError) as caught:
        await case.ask(provider)
    assert caught.value.retryable
    await provider.close()


async def test_cancelling_closes_the_connection(
    case: Case, provider: Provider, recorded: Recorded
) -> None:
    recorded.answer(Answer(case.good.pieces[:1], headers=case.good.headers, end="hang"))
    if len(case.good.pieces) == 1:
        recorded.answer(Answer(end="hang"))
    task = asyncio.ensure_future(case.ask(provider))
    await eventually_async("the request arrives", lambda: recorded.asked)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await eventually_async("the connection is closed", lambda: recorded.open == 0)


@pytest.mark.usefixtures("http")
async def test_nothing_of_the_environment_goes_to_another_server(
    case: Case, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "CO_API_KEY", "JINA_API_KEY"):
        monkeypatch.setenv(name, "of-the-environment")
    recorded.answer(case.good)
    provider = case.make("acme", {"base_url": recorded.url})
    await case.ask(provider)
    await provider.close()
    assert "of-the-environment" not in str(recorded.asked)


@pytest.mark.parametrize("make", [OpenAIProvider, AnthropicProvider, CohereProvider, JinaProvider])
def test_a_vendor_wants_a_key_and_other_servers_do_not(make: type[Provider]) -> None:
    with pytest.raises(CredentialsError, match=r"set api_key in \[providers\.work\]"):
        make("work", {})
    assert not make("work", {"api_key": KEY}).any_model
    assert make("work", {"base_url": "http://127.0.0.1:1"}).any_model
    assert not make("work", {"base_url": "http://127.0.0.1:1", "any_model": False}).any_model
