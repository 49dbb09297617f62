"""What a call used comes back with it, whatever its kind, from whoever reads it."""

import io
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from invokeq import AsyncSession, Session
from invokeq.protocol.entities import EmbeddingUsage, LLMUsage
from invokeq.protocol.usage import UnitUsage
from tests.integration.conftest import stream_config, user
from tests.support.processes.worker import WorkerProcess, running_worker
from tests.support.servers.server import Server

QUEUES = ("llm", "text-embedding", "rerank", "tts", "speech2text", "moderation")
MP3 = b"ID3\x04\x00\x00" + bytes(1994)

Model = Any
CALLS: dict[str, tuple[Callable[[Model], Any], dict[str, Any] | None]] = {
    "llm": (
        lambda model: model.llm.submit(stream_config(chunks=3), user("one two")),
        {"prompt_tokens": 2, "completion_tokens": 3},
    ),
    "structured": (
        lambda model: model.llm_structured_output.submit(
            {"provider": "scripted", "model": "echo"}, user('{"a": 1}'), {"type": "object"}
        ),
        {"currency": "USD"},
    ),
    "summary": (
        lambda model: model.summary.submit("one two three", "Be brief."),
        {"currency": "USD"},
    ),
    "text-embedding": (
        lambda model: model.text_embedding.submit(
            {"provider": "scripted", "model": "hash"}, ["one two", "three"]
        ),
        {"tokens": 3, "price_unit": "0.000001"},
    ),
    "rerank": (
        lambda model: model.rerank.submit(
            {"provider": "scripted", "model": "overlap"}, ["one two", "three"], "one"
        ),
        {"unit": "token", "amount": "3"},
    ),
    "tts": (
        lambda model: model.tts.submit(
            {"provider": "scripted", "model": "silence", "voice": "ann"}, "One two. " * 100
        ),
        {"unit": "character", "amount": "900", "total_price": "0.0135000"},
    ),
    "speech2text": (
        lambda model: model.speech2text.submit(
            {"provider": "scripted", "model": "tags"}, io.BytesIO(MP3)
        ),
        {"unit": "second", "amount": "0.5"},
    ),
    "moderation": (
        lambda model: model.moderation.submit({"provider": "scripted", "model": "words"}, "a"),
        None,
    ),
}


@pytest.fixture(scope="module")
def serving(
    redis_server: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, WorkerProcess]]:
    """One worker with the scripted vendor for all tests of this module."""
    redis_server.erase()
    directory = tmp_path_factory.mktemp("usage")
    with running_worker(
        redis_server.url, directory, queues=QUEUES, summary_model="scripted/echo"
    ) as worker:
        yield redis_server.url, worker


@pytest.fixture
def session(serving: tuple[str, WorkerProcess]) -> Iterator[Session]:
    with Session("acme", redis=serving[0]) as opened:
        yield opened


@pytest.fixture
async def async_session(serving: tuple[str, WorkerProcess]) -> AsyncIterator[AsyncSession]:
    async with AsyncSession("acme", redis=serving[0]) as opened:
        yield opened


def check(usage: object, expected: dict[str, Any] | None) -> None:
    if expected is None:
        assert usage is None
        return
    assert isinstance(usage, LLMUsage | EmbeddingUsage | UnitUsage)
    told = usage.model_dump(mode="json")
    assert {name: told.get(name) for name in expected} == expected
    assert told["latency"] >= 0


@pytest.mark.parametrize("kind", CALLS)
def test_the_usage_is_there_at_the_end(session: Session, kind: str) -> None:
    submit, expected = CALLS[kind]
    invocation = submit(session.model)
    assert invocation.usage is None
    invocation.result()
    check(invocation.usage, expected)
    attached = session.attach(invocation.request_id)
    attached.result()
    assert attached.usage == invocation.usage


@pytest.mark.parametrize("kind", CALLS)
async def test_the_usage_is_there_on_asyncio(async_session: AsyncSession, kind: str) -> None:
    submit, expected = CALLS[kind]
    invocation = await submit(async_session.model)
    assert invocation.usage is None
    await invocation.result()
    check(invocation.usage, expected)


def test_parameters_that_a_model_lacks_are_logged_once(
    session: Session, serving: tuple[str, WorkerProcess]
) -> None:
    """Fails if nobody says it; tried without the call of `services.ignored`."""
    config = {"provider": "scripted", "model": "echo", "completion_params": {"zap": 1, "top_k": 2}}
    for _ in range(3):
        session.model.llm.invoke(config, user("hi"), stream=False)
    told = [line for line in _log(serving[1].log) if "parameters ignored" in line and "zap" in line]
    assert len(told) == 1
    assert "model=echo" in told[0]


def _log(path: Path) -> list[str]:
    return path.read_text().splitlines()
