"""The OpenAI provider against answers of misbehaving servers."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import httpx2
import orjson
import pytest

from invokeq.protocol.entities import LLMResultChunk
from invokeq.protocol.errors import (
    CredentialsError,
    InvalidRequestError,
    InvokeqError,
    ProviderSilenceError,
    ProviderUnavailableError,
    RateLimitedError,
    RejectedByProviderError,
)
from invokeq.protocol.requests import LLMRequest
from invokeq_providers import prepare_llm
from invokeq_providers.chunks import as_entity
from invokeq_providers.openai import OpenAIProvider

TEXT = b'data: {"choices":[{"delta":{"content":"hi END there"}}]}\n\n'
FINISH = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"
URL = "http://vendor.test/v1"

Handler = Callable[[httpx2.Request], httpx2.Response]


class Body(httpx2.AsyncByteStream):
    """A body that may break off; `closed` says whether a reader closed the body."""

    def __init__(self, *pieces: bytes | Exception) -> None:
        self.pieces = pieces
        self.closed = False

    async def __aiter__(self) -> AsyncGenerator[bytes, None]:
        for piece in self.pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    async def aclose(self) -> None:
        self.closed = True


class Vendor:
    """A transport with a list of answers, one for each request; the last answer repeats."""

    def __init__(self, *answers: httpx2.Response | Exception | Body | bytes) -> None:
        self.answers = list(answers)
        self.requests: list[httpx2.Request] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, Body):
            return httpx2.Response(200, stream=answer)
        if isinstance(answer, bytes):
            return httpx2.Response(200, content=answer)
        return answer

    @property
    def body(self) -> dict[str, Any]:
        """The body of the last request."""
        return orjson.loads(self.requests[-1].content)


@asynccontextmanager
async def provider(
    monkeypatch: pytest.MonkeyPatch, handler: Handler, **options: Any
) -> AsyncGenerator[OpenAIProvider, None]:
    def new_http_client(*_: Any) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(transport=httpx2.MockTransport(handler))

    monkeypatch.setattr("invokeq_providers.openai.api.new_http_client", new_http_client)
    made = OpenAIProvider("acme", {"base_url": URL, "api_key": "sk-secret", **options})
    yield made
    await made.close()


async def ask(
    monkeypatch: pytest.MonkeyPatch, handler: Handler, options: Any = None, **request: Any
) -> list[LLMResultChunk]:
    given = {
        "provider": "acme",
        "model": "m",
        "prompt_messages": [{"role": "user", "content": "u"}],
    }
    async with provider(monkeypatch, handler, **(options or {})) as made:
        call = prepare_llm(LLMRequest.model_validate({**given, **request}), made, user="ann")
        async with aclosing(made.llm(call)) as chunks:
            return [as_entity(chunk) async for chunk in chunks]


def text_of(chunks: list[LLMResultChunk]) -> str:
    return "".join(chunk.delta.message.get_text_content() for chunk in chunks)


def reported(**error: Any) -> bytes:
    return b"data: " + orjson.dumps({"error": error}) + b"\n\n"


@pytest.mark.parametrize(
    "body",
    [
        TEXT + FINISH + DONE,
        TEXT + FINISH,
        TEXT + FINISH.rstrip(),
        TEXT + DONE,
        TEXT + DONE.rstrip(),
        b": ping\r\n\r\n" + (TEXT + FINISH + DONE).replace(b"\n", b"\r\n"),
    ],
)
async def test_an_answer_is_complete_once_the_vendor_says_so(
    monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    assert text_of(await ask(monkeypatch, Vendor(body))) == "hi END there"


@pytest.mark.parametrize(
    "body",
    [
        Body(TEXT),
        Body(),
        Body(TEXT, FINISH[:20]),
        Body(TEXT, b"data: {nonsense}\n\n", FINISH),
        Body(TEXT, b"data: []\n\n", FINISH),
        Body(TEXT, b'data: {"choices":{"a":1}}\n\n', FINISH),
        Body(TEXT, b'data: {"choices":[{"delta":{"tool_calls":3}}]}\n\n', FINISH),
        Body(TEXT, httpx2.RemoteProtocolError("peer closed"), FINISH),
        Body(TEXT, httpx2.ReadError("reset"), FINISH),
    ],
)
async def test_anything_else_is_no_answer(monkeypatch: pytest.MonkeyPatch, body: Body) -> None:
    vendor = Vendor(body)
    with pytest.raises(ProviderUnavailableError) as caught:
        await ask(monkeypatch, vendor)
    assert caught.value.chunks == (1 if TEXT in body.pieces else 0)
    assert body.closed
    assert len(vendor.requests) == 1


async def test_a_whole_answer_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for body in (b"", b"<html>", b"[]", b'{"choices":[{"message":{"tool_calls":[1]}}]}'):
        with pytest.raises(ProviderUnavailableError):
            await ask(monkeypatch, Vendor(body), stream=False)


async def test_silence_in_the_middle_is_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    vendor = Vendor(Body(TEXT, httpx2.ReadTimeout("slow")))
    with pytest.raises(ProviderSilenceError, match="300") as caught:
        await ask(monkeypatch, vendor)
    assert caught.value.chunks == 1


async def test_a_connect_that_takes_too_long_is_unavailable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(ProviderUnavailableError, match="ConnectTimeout"):
        await ask(monkeypatch, Vendor(httpx2.ConnectTimeout("slow")))


@pytest.mark.parametrize(
    ("event", "error"),
    [
        (reported(type="rate_limit_error", message="slow"), RateLimitedError),
        (reported(type="x", code="rate_limit_exceeded", message="slow"), RateLimitedError),
        (reported(type="insufficient_quota", code="insufficient_quota"), CredentialsError),
        (reported(type="invalid_request_error", message="bad"), RejectedByProviderError),
        (reported(type="exceed_context_size_error", code=400), RejectedByProviderError),
        (reported(type="server_error", message="oh"), ProviderUnavailableError),
        (reported(code=503, message="oh"), ProviderUnavailableError),
        (b'data: {"error": "oh"}\n\n', ProviderUnavailableError),
    ],
)
async def test_an_error_inside_a_stream(
    monkeypatch: pytest.MonkeyPatch, event: bytes, error: type[InvokeqError]
) -> None:
    with pytest.raises(error) as caught:
        await ask(monkeypatch, Vendor(TEXT + event + FINISH))
    assert type(caught.value) is error
    assert caught.value.provider == "acme"


async def test_a_secret_in_an_error_is_blanked(monkeypatch: pytest.MonkeyPatch) -> None:
    body = {"error": {"message": "no key sk-secret here", "type": "x"}}
    with pytest.raises(RejectedByProviderError) as caught:
        await ask(monkeypatch, Vendor(httpx2.Response(400, json=body)))
    assert "sk-secret" not in str(caught.value)
    assert "***" in str(caught.value)


@pytest.mark.parametrize("error", [httpx2.RemoteProtocolError("gone"), httpx2.ReadError("reset")])
async def test_a_connection_lost_before_an_answer_is_told_and_nothing_is_sent_twice(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    vendor = Vendor(error, TEXT + FINISH)
    with pytest.raises(ProviderUnavailableError) as caught:
        await ask(monkeypatch, vendor)
    assert caught.value.reconnect is True
    assert len(vendor.requests) == 1


@pytest.mark.parametrize(
    "answer", [httpx2.ConnectError("refused"), httpx2.Response(500), httpx2.Response(429)]
)
async def test_other_faults_are_no_lost_connections(
    monkeypatch: pytest.MonkeyPatch, answer: Any
) -> None:
    vendor = Vendor(answer)
    with pytest.raises(InvokeqError) as caught:
        await ask(monkeypatch, vendor)
    assert "reconnect" not in caught.value.fields
    assert len(vendor.requests) == 1


async def test_the_request_says_who_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    vendor = Vendor(TEXT + FINISH)
    await ask(monkeypatch, vendor, {"organization": "org", "project": "proj"})
    headers = vendor.requests[0].headers
    assert str(vendor.requests[0].url) == f"{URL}/chat/completions"
    assert headers["authorization"] == "Bearer sk-secret"
    assert headers["openai-organization"] == "org"
    assert headers["openai-project"] == "proj"
    assert vendor.body["user"] == "ann"


@pytest.mark.parametrize(
    ("url", "model", "stop", "left_to_us"),
    [
        ("https://api.openai.com/v1", "gpt-4o", ["END"], False),
        ("https://api.openai.com/v1", "o3", ["END"], True),
        ("https://eu.api.openai.com/v1", "gpt-5", ["END"], True),
        ("https://api.openai.com/v1", "gpt-4o", ["1", "2", "3", "4", "END"], True),
        (URL, "o3", ["END"], False),
        (URL, "m", ["1", "2", "3", "4", "END"], False),
    ],
)
async def test_stop_words_that_the_vendor_refuses_are_ours(
    monkeypatch: pytest.MonkeyPatch, url: str, model: str, stop: list[str], left_to_us: bool
) -> None:
    vendor = Vendor(TEXT + FINISH)
    chunks = await ask(monkeypatch, vendor, {"base_url": url}, model=model, stop=stop)
    assert ("stop" not in vendor.body) == left_to_us
    assert text_of(chunks) == ("hi " if left_to_us else "hi END there")


async def test_a_completion_model_gets_a_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    models = {"davinci": {"model_properties": {"mode": "completion"}, "rules": ["sampling"]}}
    body = b'data: {"choices":[{"text":"a","finish_reason":"length"}]}\n\n'
    vendor = Vendor(body)
    chunks = await ask(monkeypatch, vendor, {"models": models}, model="davinci")
    assert str(vendor.requests[0].url) == f"{URL}/completions"
    assert vendor.body["prompt"] == "u"
    assert "messages" not in vendor.body
    assert text_of(chunks) == "a"
    assert chunks[-1].delta.finish_reason == "length"


async def test_a_part_that_cannot_be_sent_names_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    audio = {"type": "audio", "format": "mp3", "mime_type": "audio/mpeg", "url": "http://x/y.mp3"}
    messages = [{"role": "user", "content": [audio]}]
    with pytest.raises(InvalidRequestError) as caught:
        await ask(monkeypatch, Vendor(FINISH), prompt_messages=messages)
    assert (caught.value.provider, caught.value.model) == ("acme", "m")


async def test_leaving_early_closes_the_body(monkeypatch: pytest.MonkeyPatch) -> None:
    body = Body(TEXT, TEXT, FINISH)
    async with provider(monkeypatch, Vendor(body)) as made:
        given = {"provider": "acme", "model": "m", "prompt_messages": [{"role": "user"}]}
        chunks = made.llm(prepare_llm(LLMRequest.model_validate(given), made))
        await anext(chunks)
        assert not body.closed
        await chunks.aclose()
        assert body.closed
