"""The fake session that plugin authors test with: the real one's face, and answers by a script."""

import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from invokeq import AsyncSession, Session
from invokeq.errors import (
    InvalidRequestError,
    InvocationCancelledError,
    NoWorkerError,
    ProviderUnavailableError,
    RateLimitedError,
    StreamExpiredError,
)
from invokeq.operations.directory import Directory
from invokeq.protocol.entities import (
    AssistantPromptMessage,
    LLMModelConfig,
    LLMResultChunk,
    LLMResultChunkDelta,
    LLMUsage,
    UserPromptMessage,
)
from invokeq.protocol.requests import LLMRequest
from invokeq.session_base import parts_of
from invokeq.testing import FakeAsyncSession, FakeSession, UnscriptedCallError
from tests.support.paths import DOCS

GUIDE = DOCS / "testing.md"
CONFIG = LLMModelConfig(provider="openai", model="gpt-4o", mode="chat")
HELLO = [UserPromptMessage(content="Say hello to Anna")]
SCRIPTING = {"answers", "calls", "files"}
"""What the fakes have beyond the real ones."""


def attributes(models: object) -> list[str]:
    return sorted(name for name in vars(models) if not name.startswith("_"))


KINDS = attributes(Session("acme").model)


def public(thing: object) -> set[str]:
    return {name for name in dir(thing) if not name.startswith("_")}


def parameters(method: Callable[..., object]) -> list[tuple[str, Any, Any]]:
    found = inspect.signature(method).parameters.values()
    return [(p.name, p.kind, p.default) for p in found]


def test_there_are_eight_kinds_of_call() -> None:
    models = (FakeSession(), FakeAsyncSession(), AsyncSession("acme"))
    assert len(KINDS) == 8
    assert [attributes(session.model) for session in models] == [KINDS] * 3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("fake", "real"),
    [
        pytest.param(FakeSession().model, Session("acme").model, id="sync"),
        pytest.param(FakeAsyncSession().model, AsyncSession("acme").model, id="async"),
    ],
)
def test_every_fake_has_the_face_of_the_real_one(kind: str, fake: object, real: object) -> None:
    own, wanted = getattr(fake, kind), getattr(real, kind)
    assert public(own) - SCRIPTING == public(wanted)
    assert "invoke" in public(wanted)
    for name in public(wanted):
        assert inspect.signature(getattr(own, name)) == inspect.signature(getattr(wanted, name))


@pytest.mark.parametrize("kind", KINDS)
def test_the_asynchronous_names_are_the_synchronous_ones(kind: str) -> None:
    sync, other = getattr(FakeSession().model, kind), getattr(FakeAsyncSession().model, kind)
    assert public(other) == public(sync)
    for name in public(sync) - {"calls", "files"}:
        assert parameters(getattr(other, name)) == parameters(getattr(sync, name))


@pytest.mark.parametrize(
    ("fake", "real"), [(FakeSession, Session), (FakeAsyncSession, AsyncSession)]
)
def test_the_fake_session_stands_in_for_the_real_one(fake: type, real: type) -> None:
    assert issubclass(fake, real)
    own = {"calls", "request_ids"}
    assert public(fake("test")) - own == public(real("test"))
    for name in ("attach", "workers", "close"):
        assert parameters(getattr(fake, name)) == parameters(getattr(real, name))


def test_a_text_streams_word_by_word_and_ends_with_usage() -> None:
    session = FakeSession()
    session.model.llm.answers("Hello, dear Anna!")
    chunks = list(session.model.llm.invoke(CONFIG, HELLO))
    assert [c.delta.message.content for c in chunks] == ["Hello, ", "dear ", "Anna!", ""]
    assert [c.delta.index for c in chunks] == [0, 1, 2, 3]
    assert {c.model for c in chunks} == {"gpt-4o"}
    usage = chunks[-1].delta.usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (4, 3, 7)
    assert chunks[-1].delta.finish_reason == "stop"


@pytest.mark.parametrize("text", ["", " ", "one", "  two \n\n three  ", "ünïcödé 漢字"])
def test_no_text_is_lost(text: str) -> None:
    session = FakeSession()
    session.model.llm.answers(text)
    result = session.model.llm.invoke(CONFIG, HELLO, stream=False)
    assert result.message.content == text
    assert result.model == "gpt-4o"


def test_nothing_happens_before_the_first_next() -> None:
    session = FakeSession()
    session.model.llm.answers("Hello")
    stream = session.model.llm.invoke(CONFIG, HELLO)
    assert session.calls == []
    next(stream)
    (call,) = session.calls
    assert isinstance(call, LLMRequest)
    assert call.prompt_messages[0].content == "Say hello to Anna"


def test_a_bad_argument_raises_at_once_and_is_not_recorded() -> None:
    session = FakeSession()
    session.model.llm.answers("Hello")
    with pytest.raises(InvalidRequestError, match="prompt_messages: must not be empty"):
        session.model.llm.invoke(CONFIG, [])
    with pytest.raises(InvalidRequestError, match="deadline"):
        session.model.llm.submit(CONFIG, HELLO, deadline=-1)
    with pytest.raises(InvalidRequestError, match="plugin_id"):
        FakeSession("a b")
    assert session.calls == []


def test_answers_are_used_in_order_and_then_the_function() -> None:
    session = FakeSession()
    llm = session.model.llm
    llm.answers(lambda request: f"I am {request.model}", "first")
    llm.answers("second")
    told = [llm.invoke(CONFIG, HELLO, stream=False).message.content for _ in range(4)]
    assert told == ["first", "second", "I am gpt-4o", "I am gpt-4o"]


def test_a_list_is_taken_piece_by_piece() -> None:
    session = FakeSession()
    session.model.llm.answers(["Hel", "lo"])
    chunks = list(session.model.llm.invoke(CONFIG, HELLO))
    assert [c.delta.message.content for c in chunks] == ["Hel", "lo", ""]
    assert chunks[-1].delta.usage is not None


def test_whole_chunks_are_taken_as_they_are() -> None:
    message = AssistantPromptMessage(content="as is")
    usage = LLMUsage.empty_usage().model_copy(update={"completion_tokens": 9})
    delta = LLMResultChunkDelta(index=5, message=message, usage=usage, finish_reason="length")
    chunk = LLMResultChunk(model="other", delta=delta)
    session = FakeSession()
    session.model.llm.answers([chunk], [chunk])
    assert list(session.model.llm.invoke(CONFIG, HELLO)) == [chunk]
    result = session.model.llm.invoke(CONFIG, HELLO, stream=False)
    assert (result.model, result.usage.completion_tokens) == ("gpt-4o", 9)


def tool_call(id_: str, name: str, arguments: str) -> AssistantPromptMessage:
    function = AssistantPromptMessage.ToolCall.ToolCallFunction(name=name, arguments=arguments)
    call = AssistantPromptMessage.ToolCall(id=id_, type="function", function=function)
    return AssistantPromptMessage(content="", tool_calls=[call])


def test_a_message_may_call_tools() -> None:
    session = FakeSession()
    fragments = [tool_call("1", "find", '{"q":'), tool_call("", "", " 2}"), tool_call("2", "x", "")]
    session.model.llm.answers(fragments[0], fragments)
    chunks = list(session.model.llm.invoke(CONFIG, HELLO))
    assert chunks[0].delta.message == fragments[0]
    assert chunks[-1].delta.finish_reason == "tool_calls"
    calls = session.model.llm.invoke(CONFIG, HELLO, stream=False).message.tool_calls
    assert [(c.id, c.function.name, c.function.arguments) for c in calls] == [
        ("1", "find", '{"q": 2}'),
        ("2", "x", ""),
    ]
    assert fragments[0].tool_calls[0].function.arguments == '{"q":'


def test_an_error_is_raised_where_it_stands() -> None:
    session = FakeSession()
    broken = ProviderUnavailableError(provider="openai", model="gpt-4o", detail="HTTP 500")
    session.model.llm.answers(
        ["Hel", broken], RateLimitedError(detail="d", retry_after=3.0), [broken]
    )
    stream = session.model.llm.invoke(CONFIG, HELLO)
    assert next(stream).delta.message.content == "Hel"
    with pytest.raises(ProviderUnavailableError, match="HTTP 500") as caught:
        next(stream)
    assert caught.value.request_id == session.request_ids[0]
    with pytest.raises(RateLimitedError) as limited:
        session.model.llm.invoke(CONFIG, HELLO, stream=False)
    assert limited.value.retry_after == 3.0
    with pytest.raises(ProviderUnavailableError):
        session.model.llm.invoke(CONFIG, HELLO, stream=False)
    assert session.attach(session.request_ids[0]).status().state == "failed"


def test_a_function_may_raise_or_yield() -> None:
    def answer(request: LLMRequest) -> Iterator[str]:
        yield "so far "
        raise RateLimitedError(model=request.model, detail="slow down")

    def refuse(request: LLMRequest) -> str:
        raise RateLimitedError(model=request.model, detail="no")

    session = FakeSession()
    session.model.llm.answers(answer)
    stream = session.model.llm.invoke(CONFIG, HELLO)
    assert next(stream).delta.message.content == "so far "
    with pytest.raises(RateLimitedError, match="slow down"):
        next(stream)
    session.model.llm.answers(refuse)
    with pytest.raises(RateLimitedError, match="no"):
        session.model.llm.invoke(CONFIG, HELLO, stream=False)


def test_an_error_of_the_queue_comes_before_anything_is_enqueued() -> None:
    session = FakeSession()
    session.model.llm.answers(NoWorkerError(provider="openai", model_type="llm", problem="none"))
    with pytest.raises(NoWorkerError):
        session.model.llm.submit(CONFIG, HELLO)
    assert (len(session.calls), session.request_ids) == (1, [])


def test_a_call_without_an_answer_fails_clearly() -> None:
    session = FakeSession()
    session.model.llm.answers("only one")
    session.model.llm.invoke(CONFIG, HELLO, stream=False)
    with pytest.raises(
        UnscriptedCallError, match=r"Call 2, to openai/gpt-4o, .*answers\("
    ) as caught:
        session.model.llm.invoke(CONFIG, HELLO, stream=False)
    assert isinstance(caught.value, AssertionError)


@pytest.mark.parametrize("bad", [7, None, b"bytes", {"a": 1}, RateLimitedError])
def test_what_is_no_answer_is_refused(bad: Any) -> None:
    with pytest.raises(TypeError, match="an answer of llm is a text"):
        FakeSession().model.llm.answers(bad)


def test_what_is_no_piece_of_an_answer_is_refused() -> None:
    session = FakeSession()
    session.model.llm.answers([7])  # pyright: ignore[reportArgumentType]: the mistake to be shown
    with pytest.raises(TypeError, match="not int"):
        next(session.model.llm.invoke(CONFIG, HELLO))


def test_an_invocation_goes_from_queued_to_done() -> None:
    session = FakeSession("acme")
    session.model.llm.answers("one two")
    invocation = session.model.llm.submit(CONFIG, HELLO)
    assert (invocation.status().state, invocation.status().position) == ("queued", 0)
    stream = iter(invocation)
    next(stream)
    status = invocation.status()
    assert (status.state, status.lane, status.attempt, status.worker) == (
        "running",
        "llm:acme",
        1,
        "fake",
    )
    list(stream)
    assert invocation.status().state == "done"
    assert not invocation.cancel()
    assert session.request_ids == [invocation.request_id]


def test_leaving_early_cancels() -> None:
    session = FakeSession()
    session.model.llm.answers("one two three")
    stream = session.model.llm.invoke(CONFIG, HELLO)
    next(stream)
    stream.close()
    assert session.attach(session.request_ids[0]).status().state == "cancelled"


def test_cancel_ends_the_stream() -> None:
    session = FakeSession()
    session.model.llm.answers("one two three")
    invocation = session.model.llm.submit(CONFIG, HELLO)
    stream = iter(invocation)
    next(stream)
    assert invocation.cancel()
    with pytest.raises(InvocationCancelledError, match="caller"):
        next(stream)
    assert not invocation.cancel()


def test_a_stream_can_be_read_again_and_from_anywhere() -> None:
    session = FakeSession()
    session.model.llm.answers("one two three")
    invocation = session.model.llm.submit(CONFIG, HELLO)
    stream = iter(invocation)
    next(stream)
    rest = session.attach(invocation.request_id, after=invocation.last_id)
    assert rest.result().message.content == "two three"
    assert session.attach(invocation.request_id).result().message.content == "one two three"
    assert "".join(c.delta.message.get_text_content() for c in stream) == "two three"
    with pytest.raises(StreamExpiredError):  # as from a server: nothing follows, and 1-5 was last
        list(session.attach(invocation.request_id, after="2-0"))


def test_detached_invocations_run_on() -> None:
    session = FakeSession()
    session.model.llm.answers("one two", "three four")
    with session.model.llm.submit(CONFIG, HELLO, detached=True) as first:
        assert first.status().state == "done"
    with session.model.llm.submit(CONFIG, HELLO) as second:
        second.detach()
    assert second.status().state == "done"
    assert session.attach(second.request_id).result().message.content == "three four"


def test_a_known_request_id_attaches() -> None:
    session = FakeSession()
    session.model.llm.answers("only once")
    for _ in range(2):
        result = session.model.llm.invoke(CONFIG, HELLO, stream=False, request_id="a" * 32)
        assert result.message.content == "only once"
    assert len(session.calls) == 1


def test_an_unknown_request_id_has_no_stream() -> None:
    session = FakeSession()
    nobody = session.attach("0" * 32)
    with pytest.raises(StreamExpiredError):
        list(nobody)
    with pytest.raises(StreamExpiredError):
        nobody.status()
    assert not nobody.cancel()
    with pytest.raises(InvalidRequestError, match="request_id"):
        session.attach("0")
    with pytest.raises(InvalidRequestError, match="after"):
        session.attach("0" * 32, after="x")


def test_nothing_can_reach_redis() -> None:
    with FakeSession() as session:
        assert session.workers() == ()
        with pytest.raises(NotImplementedError, match="the fake session has no Redis"):
            parts_of(session).transport.run(Directory().workers())


async def test_the_asynchronous_session_does_the_same() -> None:
    async with FakeAsyncSession() as session:
        llm = session.model.llm
        llm.answers("one two", ["Hel", RateLimitedError(detail="slow down")], "three four")
        stream = llm.invoke(CONFIG, HELLO)
        assert session.calls == []
        first = [chunk.delta.message.content async for chunk in stream]
        assert first == ["one ", "two", ""]
        with pytest.raises(RateLimitedError):
            await llm.invoke(CONFIG, HELLO, stream=False)
        invocation = await llm.submit(CONFIG, HELLO)
        assert (await invocation.status()).state == "queued"
        async for _ in invocation:
            break
        await invocation.close()
        assert (await invocation.status()).state == "cancelled"
        with pytest.raises(UnscriptedCallError):
            await llm.submit(CONFIG, HELLO)
        assert len(session.calls) == 4


async def test_the_asynchronous_handle_does_the_same() -> None:
    session = FakeAsyncSession()
    session.model.llm.answers("one two", "three four")
    invocation = await session.model.llm.submit(CONFIG, HELLO)
    await invocation.detach()
    attached = session.attach(invocation.request_id, after="1-1")
    assert (await attached.result()).message.content == "two"
    assert not await attached.cancel()
    second = await session.model.llm.submit(CONFIG, HELLO)
    assert await second.cancel()
    with pytest.raises(InvocationCancelledError):
        await second.result()
    assert await session.workers() == ()
    assert session.request_ids == [invocation.request_id, second.request_id]
    with pytest.raises(NotImplementedError):
        await parts_of(session).transport.run(Directory().workers())


def code_blocks() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(), re.DOTALL | re.MULTILINE)


async def test_the_guide_runs() -> None:
    """Run all blocks of the guide as one module, then the tests that they define."""
    names: dict[str, Any] = {}
    for block in code_blocks():
        exec(compile(block, str(GUIDE), "exec"), names)
    tests = [found for name, found in names.items() if name.startswith("test_")]
    assert len(tests) >= 4
    for test in tests:
        outcome = test()
        if inspect.isawaitable(outcome):
            await outcome
