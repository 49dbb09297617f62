"""What `prepare` gives and takes, and `submit_many` of the fake sessions."""

import inspect
import io
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from invokeq import AsyncSession, Call, Session
from invokeq.errors import (
    InvalidRequestError,
    QueueFullError,
    RequestTooLargeError,
    StreamExpiredError,
)
from invokeq.operations.options import CallExtras, CallOptions, call_options
from invokeq.protocol.entities import UserPromptMessage
from invokeq.protocol.kinds import builtin_kinds
from invokeq.testing import FakeAsyncSession, FakeSession

WHERE = {"provider": "openai", "model": "m"}
HELLO = [UserPromptMessage(content="hello")]
WAV = b"RIFF\x24\x00\x00\x00WAVEfmt "
FULL = QueueFullError(scope="Lane llm:test", queue="llm:test", depth=2, limit=2)
KINDS = sorted({kind.attribute for kind in builtin_kinds().values()})
MODELS: list[Any] = [Session("acme").model, AsyncSession("acme").model]


@contextmanager
def sends_nothing() -> Generator[Session]:
    with Session("acme", redis="redis://127.0.0.1:1/0", max_request_bytes=500) as session:
        yield session


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("models", MODELS)
def test_prepare_takes_what_submit_takes(models: Any, kind: str) -> None:
    calls = getattr(models, kind)
    names = [name for name in dir(calls) if name.startswith("prepare")]
    assert "prepare" in names
    for name in names:
        prepare = inspect.signature(getattr(calls, name))
        submit = inspect.signature(getattr(calls, name.replace("prepare", "submit")))
        assert prepare.parameters == submit.parameters


def test_a_call_is_checked_when_it_is_prepared() -> None:
    with sends_nothing() as session:
        call = session.model.llm.prepare(WHERE, HELLO, priority="high", detached=True)
        assert call.options == CallOptions(priority="high", detached=True)
        assert call.request.kind == "llm"
        with pytest.raises(FrozenInstanceError):
            call.file = b""  # type: ignore[misc]
        with pytest.raises(InvalidRequestError, match="prompt_messages"):
            session.model.llm.prepare(WHERE, [])
        with pytest.raises(RequestTooLargeError, match="max_request_bytes"):
            session.model.moderation.prepare(WHERE, "x" * 500)


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_keyword_is_a_type_error(kind: str) -> None:
    """Also of a summary that is too short to be one."""
    arguments: dict[str, tuple[Any, ...]] = {
        "llm_structured_output": (WHERE, HELLO, {"type": "object"}),
        "rerank": (WHERE, ["a"], "b"),
        "speech2text": (WHERE, io.BytesIO(WAV)),
        "summary": ("short", ""),
        "text_embedding": (WHERE, ["a"]),
        "llm": (WHERE, HELLO),
    }
    with sends_nothing() as session:
        for name in ("invoke", "prepare", "submit"):
            method = getattr(getattr(session.model, kind), name)
            with pytest.raises(TypeError, match="'prioritty'"):
                method(*arguments.get(kind, (WHERE, "text")), prioritty="high")


def test_the_extras_are_checked_one_by_one() -> None:
    assert set(CallExtras.__annotations__) == set(CallOptions.__slots__)
    assert call_options() == CallOptions()
    assert call_options(request_id="ab" * 16).request_id == "ab" * 16
    wrong: list[Any] = [
        ("request_id", "AB"),
        ("deadline", -1),
        ("priority", "low"),
    ]
    for name, value in wrong:
        with pytest.raises(InvalidRequestError) as caught:
            call_options(**{name: value})
        assert caught.value.field == name


def mixed(session: FakeSession) -> list[Call[Any, Any]]:
    model = session.model
    model.llm.answers("Hi", "Ho")
    model.moderation.answers(True)
    model.speech2text.answers("heard")
    model.text_embedding.answers([0.5])
    return [
        model.llm.prepare(WHERE, HELLO),
        model.moderation.prepare(WHERE, "text"),
        model.speech2text.prepare(WHERE, io.BytesIO(WAV)),
        model.text_embedding.prepare_multimodal(WHERE, [{"content": "a", "content_type": "text"}]),
        model.llm.prepare(WHERE, HELLO),
    ]


def test_a_fake_session_answers_calls_of_all_kinds_in_order() -> None:
    session = FakeSession()
    calls = mixed(session)
    assert session.calls == []
    first, flagged, heard, vectors, last = [each.result() for each in session.submit_many(calls)]
    assert (first.message.content, last.message.content) == ("Hi", "Ho")
    assert (flagged, heard, vectors.embeddings) == (True, "heard", [[0.5]])
    assert session.model.speech2text.files == [WAV]
    assert [call.kind for call in session.calls] == [call.request.kind for call in calls]


def test_of_refused_calls_a_fake_session_keeps_none() -> None:
    """Fails when the records stay: tried."""
    session = FakeSession()
    session.model.llm.answers("one", "two", FULL)
    session.model.moderation.answers(False)
    known = session.model.moderation.prepare(WHERE, "text", request_id="cd" * 16)
    session.submit_many([known])
    call = session.model.llm.prepare(WHERE, HELLO)
    done = session.model.llm.prepare(WHERE, HELLO, detached=True)
    with pytest.raises(QueueFullError) as caught:
        session.submit_many([known, call, done, call])
    assert caught.value.taken_back == 1
    assert session.request_ids[0] == "cd" * 16
    assert session.attach(session.request_ids[1]).status().state == "done"
    assert len(session.request_ids) == 2
    with pytest.raises(StreamExpiredError):
        session.attach("00" * 16).status()


def test_a_script_is_that_of_all_who_share_the_memory() -> None:
    session = FakeSession("gate")
    session.model.moderation.answers(True)
    spoken = session.on_behalf_of("acme")
    assert spoken.model.moderation.invoke(WHERE, "text") is True
    assert len(session.model.moderation.calls) == 1


async def test_the_same_on_asyncio() -> None:
    session = FakeAsyncSession()
    session.model.llm.answers("Hi")
    session.model.speech2text.answers("heard")
    call = session.model.llm.prepare(WHERE, HELLO)
    spoken = await session.model.speech2text.prepare(WHERE, io.BytesIO(WAV))
    calls: list[Call[Any, Any]] = [call, spoken]
    first, heard = await session.submit_many(calls)
    assert [item async for item in heard] == ["heard"]
    assert (await first.result()).message.content == "Hi"
    session.model.llm.answers("two", FULL)
    with pytest.raises(QueueFullError) as caught:
        await session.submit_many([call, call])
    assert caught.value.taken_back == 1
