"""Answers to reverse invocations, over every channel."""

from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from importlib.metadata import EntryPoint
from typing import Any, ClassVar, Literal

import pytest

from invokeq import backwards, errors
from invokeq.backwards import SERVED, error_args, error_text, serve
from invokeq.dify.reverse_kinds import find_kind_name, is_streamed
from invokeq.errors import InvalidRequestError, InvokeqError, NotServedError
from invokeq.protocol import kinds
from invokeq.protocol.entities import (
    AssistantPromptMessage,
    EmbeddingInputType,
    ImagePromptMessageContent,
    LLMResultChunk,
    LLMResultChunkDelta,
    ModelType,
)
from invokeq.protocol.kinds import CallKind
from invokeq.protocol.requests import (
    CallRequest,
    LLMRequest,
    MultiModalRerankRequest,
    RerankRequest,
    SummaryRequest,
    TextEmbeddingRequest,
    TTSRequest,
)
from invokeq.testing import FakeAsyncSession

MODEL = {"provider": "acme", "model": "m", "model_type": "whatever", "tenant_id": "not believed"}
HELLO = [{"role": "user", "content": "hi", "name": None}]
MP3 = b"\xff\xfb\x10\xc4" + bytes(100)


@pytest.fixture
def session() -> FakeAsyncSession:
    return FakeAsyncSession("acme", "tenant", "user")


async def answers(session: FakeAsyncSession, kind: str, **payload: Any) -> list[dict[str, Any]]:
    async with aclosing(serve(session, kind, payload)) as pieces:
        return [piece async for piece in pieces]


async def test_chunks_of_an_llm(session: FakeAsyncSession) -> None:
    session.model.llm.answers("one two")
    chunks = await answers(session, "llm", **MODEL, mode="chat", prompt_messages=HELLO, stream=True)
    assert "".join(chunk["delta"]["message"]["content"] for chunk in chunks) == "one two"
    assert [chunk["prompt_messages"] for chunk in chunks] == [[]] * len(chunks)
    assert [chunk["delta"]["message"]["tool_calls"] for chunk in chunks] == [[]] * len(chunks)
    assert isinstance(chunks[-1]["delta"]["usage"]["total_price"], str)


async def test_content_is_never_null(session: FakeAsyncSession) -> None:
    """The daemon drops such chunks without a word."""
    delta = LLMResultChunkDelta(index=0, message=AssistantPromptMessage(content=None))
    session.model.llm.answers([LLMResultChunk(model="m", delta=delta)])
    (chunk,) = await answers(session, "llm", **MODEL, prompt_messages=HELLO)
    assert chunk["delta"]["message"]["content"] == ""


async def test_parts_stay_a_list(session: FakeAsyncSession) -> None:
    part = ImagePromptMessageContent(format="png", mime_type="image/png", base64_data="aGk=")
    delta = LLMResultChunkDelta(index=0, message=AssistantPromptMessage(content=[part]))
    session.model.llm.answers([LLMResultChunk(model="m", delta=delta)])
    (chunk,) = await answers(session, "llm", **MODEL, prompt_messages=HELLO)
    assert chunk["delta"]["message"]["content"][0]["detail"] == "low"


async def test_blanks_of_the_daemon_are_left_out(session: FakeAsyncSession) -> None:
    session.model.llm.answers("x")
    blank = {"name": "", "tool_calls": None, "tool_call_id": ""}
    messages = [{"role": role, "content": "a", **blank} for role in ("system", "assistant", "user")]
    await answers(
        session, "llm", **MODEL, mode="", completion_params=None, prompt_messages=messages
    )
    (request,) = session.calls
    assert isinstance(request, LLMRequest)
    assert [message.name for message in request.prompt_messages] == [None] * 3
    assert (request.mode, request.completion_params) == ("chat", {})


@pytest.mark.parametrize(("mode", "left"), [("none", None), ("auto", 1), (None, 1)])
async def test_a_tool_choice_of_none_leaves_out_the_tools(
    session: FakeAsyncSession, mode: str | None, left: int | None
) -> None:
    session.model.llm.answers("x")
    tool: dict[str, Any] = {"name": "f", "description": "", "parameters": {}}
    fields: dict[str, Any] = {
        "prompt_messages": HELLO,
        "tools": [tool],
        "tool_choice": {"mode": mode},
    }
    await answers(session, "llm", **MODEL, **fields)
    (request,) = session.calls
    assert isinstance(request, LLMRequest)
    assert (request.tools and len(request.tools)) == left


async def test_a_short_text_is_summarised_too(session: FakeAsyncSession) -> None:
    """The SDK decides before the call whether the text is long enough."""
    session.model.summary.answers("brief")
    assert await answers(session, "system_summary", text="a", instruction="b") == [
        {"summary": "brief"}
    ]
    assert session.calls == [SummaryRequest(text="a", instruction="b")]


async def test_texts_without_a_purpose_are_documents(session: FakeAsyncSession) -> None:
    session.model.text_embedding.answers([[1.0, 2.0]])
    (result,) = await answers(session, "text_embedding", **MODEL, texts=["a"])
    assert result["embeddings"] == [[1.0, 2.0]]
    assert set(result["usage"]) >= {"tokens", "total_tokens", "currency", "latency"}
    (request,) = session.calls
    assert isinstance(request, TextEmbeddingRequest)
    assert request.input_type is EmbeddingInputType.DOCUMENT


async def test_null_bounds_stay_null(session: FakeAsyncSession) -> None:
    session.model.rerank.answers([0.1, 0.9], [0.5])
    bounds = {"score_threshold": None, "top_n": None}
    (result,) = await answers(session, "rerank", **MODEL, **bounds, docs=["a", "b"], query="q")
    assert [doc["index"] for doc in result["docs"]] == [1, 0]
    content = {"content": "a", "content_type": "text"}
    await answers(session, "multimodal_rerank", **MODEL, **bounds, docs=[content], query=content)
    for request in session.calls:
        assert isinstance(request, RerankRequest | MultiModalRerankRequest)
        assert (request.score_threshold, request.top_n) == (None, None)


async def test_audio_is_hexadecimal_and_cut_where_it_is_too_much(
    session: FakeAsyncSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("invokeq.dify.reverse.handlers.SEGMENT_BYTES", 64)
    session.model.tts.answers([MP3, b"\x01\x02"])
    pieces = await answers(session, "tts", **MODEL, voice=None, content_text="a")
    assert [len(piece["result"]) for piece in pieces] == [128, 80, 4]
    assert bytes.fromhex("".join(piece["result"] for piece in pieces)) == MP3 + b"\x01\x02"
    (request,) = session.calls
    assert isinstance(request, TTSRequest)
    assert request.voice == ""


async def test_audio_comes_as_hexadecimal(session: FakeAsyncSession) -> None:
    session.model.speech2text.answers("words")
    assert await answers(session, "speech2text", **MODEL, file=MP3.hex()) == [{"result": "words"}]


async def test_a_verdict(session: FakeAsyncSession) -> None:
    session.model.moderation.answers(True)
    assert await answers(session, "moderation", **MODEL, text="a") == [{"result": True}]


async def test_nothing_is_asked_before_the_first_piece_and_closing_cancels(
    session: FakeAsyncSession,
) -> None:
    session.model.llm.answers("one two three")
    pieces = serve(session, "llm", {**MODEL, "prompt_messages": HELLO})
    assert session.calls == []
    await anext(pieces)
    await pieces.aclose()
    status = await session.attach(session.request_ids[0]).status()
    assert status.state == "cancelled"


async def test_an_error_of_the_model_comes_as_it_is(session: FakeAsyncSession) -> None:
    fault = errors.RateLimitedError(provider="acme", model="m", detail="slow", retry_after=1.5)
    session.model.llm.answers(["one", fault])
    with pytest.raises(errors.RateLimitedError) as caught:
        await answers(session, "llm", **MODEL, prompt_messages=HELLO)
    told = error_text(caught.value)
    assert told.startswith("acme limits the rate for m: slow [rate_limited, retry after 1.5 s, req")
    assert error_args(caught.value)["args"]["retry_after"] == 1.5


@pytest.mark.parametrize("field", ["provider", "model"])
async def test_fields_are_named_as_in_the_payload(session: FakeAsyncSession, field: str) -> None:
    with pytest.raises(InvalidRequestError, match=f"^{field}: is missing or empty$"):
        await answers(session, "moderation", **{**MODEL, field: ""}, text="a")
    bounds = {"score_threshold": "high", "top_n": 1, "docs": ["a"], "query": "q"}
    with pytest.raises(InvalidRequestError, match=r"^score_threshold: "):
        await answers(session, "rerank", **MODEL, **bounds)


async def test_what_is_not_served_is_named(session: FakeAsyncSession) -> None:
    with pytest.raises(NotServedError, match="'storage' are not served by invokeq") as caught:
        await answers(session, "storage")
    assert error_text(caught.value).endswith("[not_served]")
    with pytest.raises(InvalidRequestError, match=r"^type: no kind of call is named 'x'"):
        await answers(session, "x")


async def test_every_kind_has_an_answer(session: FakeAsyncSession) -> None:
    for kind in SERVED:
        with pytest.raises(InvalidRequestError):  # not "no kind of call"
            await answers(session, kind, provider=5)


class EchoRequest(CallRequest):
    """The request of another package's kind."""

    kind: Literal["acme_echo"] = "acme_echo"
    model_type: ClassVar[ModelType] = ModelType.LLM


async def echo(
    session: FakeAsyncSession, payload: Mapping[str, Any]
) -> AsyncGenerator[dict[str, Any], None]:
    """Answer a reverse invocation of the kind."""
    del session
    yield {"echo": payload["text"]}
    yield {"echo": "end"}


ECHO = CallKind(
    request=EchoRequest,
    permission="llm",
    attribute="acme_echo",
    streamed=True,
    path="invoke/acme-echo",
    calls_ref="unused:unused",
    async_calls_ref="unused:unused",
    decoder_ref="unused:unused",
    serve_ref="unused:unused",
    reverse_ref=f"{__name__}:echo",
    fake_ref="unused:unused",
)


@pytest.fixture
def installed_kind(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Install a package with a new kind."""
    entry = EntryPoint("acme_echo", f"{__name__}:ECHO", kinds.ENTRY_POINTS)
    monkeypatch.setattr(kinds, "entry_points", lambda group: [entry])  # pyright: ignore[reportUnknownArgumentType, reportUnknownLambdaType]
    kinds.call_kinds.cache_clear()
    yield
    kinds.call_kinds.cache_clear()


@pytest.mark.usefixtures("installed_kind")
async def test_a_kind_of_another_package_is_served(session: FakeAsyncSession) -> None:
    assert await answers(session, "acme_echo", text="a") == [{"echo": "a"}, {"echo": "end"}]
    assert find_kind_name("invoke/acme-echo") == "acme_echo"
    assert is_streamed("acme_echo")
    assert "acme_echo" in backwards.SERVED
    with pytest.raises(InvalidRequestError, match=r"there are: llm, .*, acme_echo$"):
        await answers(session, "x")


def test_paths_and_streaming_of_kinds_that_only_dify_answers() -> None:
    assert find_kind_name("invoke/tool") == "tool"
    assert find_kind_name("upload/file/request") == "upload_file"
    assert find_kind_name("invoke/llm/structured-output") == "llm_structured_output"
    assert find_kind_name("invoke/nothing") is None
    assert [is_streamed(kind) for kind in ("tool", "app", "tts", "storage", "rerank", "x")] == [
        True,
        True,
        True,
        False,
        False,
        False,
    ]


CLASSES = [
    (errors.CredentialsError(provider="p", problem="x"), "InvokeAuthorizationError"),
    (errors.RateLimitedError(provider="p", model="m", detail="x"), "InvokeRateLimitError"),
    (errors.ProviderUnavailableError(detail="x"), "InvokeServerUnavailableError"),
    (errors.WorkerLostError(worker="w", events=0), "InvokeConnectionError"),
    (errors.ProviderSilenceError(seconds=3), "InvokeConnectionError"),
    (errors.InvalidRequestError(field="f", problem="x"), "InvokeBadRequestError"),
    (errors.InternalError(detail="x"), "InvokeError"),
    (errors.InvocationCancelledError(reason="caller"), "InvokeError"),
]


@pytest.mark.parametrize(("error", "name"), CLASSES)
def test_errors_have_difys_names_too(error: InvokeqError, name: str) -> None:
    told = error_args(error)
    assert told["error_type"] == name
    assert told["message"] == str(error)
    assert told["args"]["code"] == error.code


def test_a_denied_permission_is_worded_as_in_dify() -> None:
    words = "permission denied, you need to enable llm access in plugin manifest"
    assert error_text(errors.PermissionDeniedError(problem=words, request_id="ab" * 16)) == words


def test_of_other_errors_only_the_class_is_told() -> None:
    assert "a prompt" not in error_text(KeyError("a prompt"))
    assert "KeyError" in error_text(KeyError("a prompt"))
    assert "a prompt" not in str(error_args(KeyError("a prompt")))
