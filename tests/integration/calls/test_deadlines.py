"""A deadline that passes: the stream ends as cancelled, and every reader gets the same error."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from invokeq import AsyncSession, Session
from invokeq.errors import DeadlineExceededError
from invokeq.protocol import events
from invokeq.protocol.events import Event, EventKind
from invokeq.protocol.redis import keys
from tests.integration.conftest import stream_config, user
from tests.support.processes.worker import WorkerProcess, running_worker
from tests.support.vendors.openai_vendor import chat, vendor_server
from tests.support.vendors.recorded import Recorded
from tests.support.waiting import eventually

MODEL: dict[str, Any] = {"provider": "openai", "model": "m", "mode": "chat"}
DEADLINE = 1.5
BOUND = 60.0
REQUEST = "ab" * 16
LANE = "llm:acme"


@pytest.fixture
def vendor() -> Iterator[Recorded]:
    """A vendor that says two words of an answer and never the third."""
    with vendor_server() as server:
        server.answer(chat("one ", "two ", end="hang"))
        yield server


@pytest.fixture
def slow(redis_url: str, tmp_path: Path, vendor: Recorded) -> Iterator[WorkerProcess]:
    options = {"type": "openai", "base_url": vendor.url, "api_key": "none"}
    with running_worker(redis_url, tmp_path, providers={"openai": options}) as running:
        yield running


def last_event(client: redis.Redis, request_id: str) -> Event:
    entries: Any = client.xrevrange(keys.events(request_id), "+", "-", 1)
    return events.unpack(*entries[0])[-1]


def by_session(url: str) -> DeadlineExceededError:
    with Session("acme", redis=url) as session, pytest.raises(DeadlineExceededError) as caught:
        list(session.model.llm.invoke(MODEL, user("x"), request_id=REQUEST, deadline=DEADLINE))
    return caught.value


def by_result(url: str) -> DeadlineExceededError:
    with Session("acme", redis=url) as session:
        invocation = session.model.llm.submit(
            MODEL, user("x"), request_id=REQUEST, deadline=DEADLINE
        )
        with pytest.raises(DeadlineExceededError) as caught:
            invocation.result()
        assert invocation.usage is not None
        assert invocation.usage.completion_tokens == 2  # type: ignore[union-attr]
    return caught.value


def on_asyncio(url: str) -> DeadlineExceededError:
    async def read() -> DeadlineExceededError:
        async with AsyncSession("acme", redis=url) as session:
            with pytest.raises(DeadlineExceededError) as caught:
                async for _ in session.model.llm.invoke(
                    MODEL, user("x"), request_id=REQUEST, deadline=DEADLINE
                ):
                    pass
            return caught.value

    return asyncio.run(read())


def by_attaching(url: str) -> DeadlineExceededError:
    by_session(url)
    with Session("other", redis=url) as session, pytest.raises(DeadlineExceededError) as caught:
        list(session.attach(REQUEST))
    return caught.value


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("read", [by_session, by_result, on_asyncio, by_attaching])
def test_readers_get_the_error_with_the_usage_so_far(
    redis_url: str, redis_client: redis.Redis, vendor: Recorded, read: Any
) -> None:
    """Fails when the run fails instead of ending as cancelled, or when `error_of` does not tell a
    deadline from other reasons: both tried."""
    error = read(redis_url)
    assert str(error) == "The deadline passed while the model answered"
    assert (error.code, error.request_id, error.attempt) == ("deadline_exceeded", REQUEST, 1)
    assert (error.usage["prompt_tokens"], error.usage["completion_tokens"]) == (1, 2)
    assert error.usage["estimated"] is True
    end = last_event(redis_client, REQUEST)
    assert end.kind is EventKind.CANCELLED
    assert end.data == {"reason": "deadline", "usage": error.usage, "stage": error.stage}
    eventually("the vendor's connection is closed", lambda: vendor.open == 0)
    with Session("acme", redis=redis_url) as session:
        eventually("the books are closed", lambda: session.attach(REQUEST).status().ended_at)
        assert session.attach(REQUEST).status().state == "cancelled"
    assert redis_client.zscore(keys.registry("canceled", LANE), REQUEST) is not None
    assert redis_client.zscore(keys.registry("failed", LANE), REQUEST) is None


def test_a_deadline_that_passed_in_the_queue_ends_the_same_way(
    redis_url: str, redis_client: redis.Redis, tmp_path: Path, session: Session
) -> None:
    """Fails when the worker asks its vendor all the same: `_watch_deadline` that returns was
    tried."""
    with running_worker(redis_url, tmp_path, concurrency=1) as busy:
        blocker = session.model.llm.submit(stream_config(hang_after=1, chunks=3), user("x"))
        blocker_items = iter(blocker)
        next(blocker_items)
        waiting = session.model.llm.submit(stream_config(chunks=1), user("x"), deadline=0.2)
        past = time.time() + 0.2
        eventually("the deadline passed", lambda: time.time() > past)
        blocker.close()
        with pytest.raises(DeadlineExceededError) as caught:
            list(waiting)
        assert str(caught.value) == "The deadline passed before the model was asked"
        assert caught.value.usage is None
        assert busy.vendor_events(waiting.request_id) == []
        end = last_event(redis_client, waiting.request_id)
        assert (end.kind, end.data["reason"]) == (EventKind.CANCELLED, "deadline")
        log = busy.log.read_text()
        assert "invocation cancelled" in log
        assert "reason=deadline" in log


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("form", [(), ("--json",)])
def test_the_command_line_says_so_and_fails(redis_url: str, form: tuple[str, ...]) -> None:
    words = ("invoke", "llm", "-m", "openai/m", "--deadline", str(DEADLINE), *form)
    done = command(redis_url, *words, "--request-id", REQUEST, "x")
    told = f"error: The deadline passed while the model answered [request {REQUEST}]\n"
    assert (done.returncode, done.stderr) == (1, told)
    again = command(redis_url, "attach", REQUEST)
    assert (again.returncode, again.stderr, again.stdout) == (1, told, "one two \n")
    assert "cancelled" in command(redis_url, "status", REQUEST).stdout


def command(url: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "invokeq.cli", *words],
        env={**os.environ, "INVOKEQ_REDIS_URL": url},
        capture_output=True,
        text=True,
        timeout=BOUND,
        check=False,
    )
