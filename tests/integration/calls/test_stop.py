"""Every way to stop an invocation closes the connection to its vendor, as the vendor's own HTTP
server sees it."""

import gc
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from rq.command import send_stop_job_command  # pyright: ignore[reportUnknownVariableType] -- of rq

from invokeq import Invocation, Session
from invokeq.errors import InvocationCancelledError
from invokeq.protocol import events
from invokeq.protocol.codec import OrjsonSerializer
from invokeq.protocol.events import EventKind
from invokeq.protocol.redis import keys
from tests.integration.conftest import user
from tests.support.processes.worker import running_worker
from tests.support.servers.clients import connect
from tests.support.vendors.openai_vendor import chat, vendor_server
from tests.support.vendors.recorded import Recorded
from tests.support.waiting import eventually

MODEL: dict[str, Any] = {"provider": "openai", "model": "m", "mode": "chat"}
BOUND = 60.0
READER = """
import sys
from invokeq import Session
from invokeq.protocol.entities import UserPromptMessage

with Session("acme", redis=sys.argv[1]) as session:
    model = {"provider": "openai", "model": "m", "mode": "chat"}
    messages = [UserPromptMessage(content="x")]
    for chunk in session.model.llm.invoke(model, messages, request_id=sys.argv[2]):
        print(chunk.delta.message.content, flush=True)
"""
REQUEST = "ab" * 16


@pytest.fixture
def vendor() -> Iterator[Recorded]:
    """A vendor that says two words of an answer and never the third."""
    with vendor_server() as server:
        server.answer(chat("one ", "two ", end="hang"))
        yield server


@pytest.fixture
def working(redis_url: str, tmp_path: Path, vendor: Recorded) -> Iterator[None]:
    options = {"type": "openai", "base_url": vendor.url, "api_key": "none"}
    with running_worker(redis_url, tmp_path, providers={"openai": options}):
        yield


def end_of(client: redis.Redis, request_id: str) -> tuple[EventKind, Any]:
    entries: Any = client.xrevrange(keys.events(request_id), "+", "-", 1)
    last = events.unpack(*entries[0])[-1]
    return last.kind, last.data


def is_stopped(client: redis.Redis, vendor: Recorded, request_id: str, reason: str) -> None:
    eventually("the vendor's connection is closed", lambda: vendor.open == 0)
    ended = lambda: end_of(client, request_id)[0] is EventKind.CANCELLED  # noqa: E731
    eventually("it is told", ended)
    assert end_of(client, request_id)[1].keys() == {"reason", "usage"}
    assert end_of(client, request_id)[1]["reason"] == reason
    usage = end_of(client, request_id)[1]["usage"]
    assert (usage["prompt_tokens"], usage["estimated"]) == (1, True)
    assert 1 <= usage["completion_tokens"] <= 2  # of "one " and, if it came in time, "two "
    assert len(vendor.asked) == 1


def by_closing(answer: Invocation[Any, Any], url: str) -> None:
    answer.close()


def by_cancelling(answer: Invocation[Any, Any], url: str) -> None:
    assert answer.cancel()


def by_command(answer: Invocation[Any, Any], url: str) -> None:
    command = [sys.executable, "-m", "invokeq.cli", "cancel", answer.request_id]
    environment = {**os.environ, "INVOKEQ_REDIS_URL": url}
    subprocess.run(command, env=environment, check=True, timeout=BOUND, capture_output=True)


def by_rq(answer: Invocation[Any, Any], url: str) -> None:
    with connect(url) as client:
        send_stop_job_command(client, answer.request_id, OrjsonSerializer)


@pytest.mark.parametrize(
    ("stop", "reason"),
    [
        (by_closing, "caller"),
        (by_cancelling, "caller"),
        (by_command, "operator"),
        (by_rq, "operator"),
    ],
)
@pytest.mark.usefixtures("working")
def test_stopping_from_anywhere_closes_the_vendors_connection(
    redis_url: str,
    redis_client: redis.Redis,
    session: Session,
    vendor: Recorded,
    stop: Callable[[Invocation[Any, Any], str], None],
    reason: str,
) -> None:
    """Fails, all four, when `Run._interrupt` does not cancel the task: tried."""
    answer = session.model.llm.submit(MODEL, user("x"))
    answer_items = iter(answer)
    assert next(answer_items).delta.message.content == "one "
    assert vendor.open == 1
    stop(answer, redis_url)
    is_stopped(redis_client, vendor, answer.request_id, reason)


@pytest.mark.parametrize("way", ["break", "del", "error"])
@pytest.mark.usefixtures("working")
def test_leaving_the_loop_closes_the_vendors_connection(
    redis_client: redis.Redis, session: Session, vendor: Recorded, way: str
) -> None:
    """Fails when the generator's `finally` does not cancel: `_leave` that returns was tried."""
    answer = session.model.llm.invoke(MODEL, user("x"), request_id=REQUEST)
    assert next(answer).delta.message.content == "one "
    assert vendor.open == 1
    if way == "break":
        for _ in answer:
            break
    elif way == "error":
        with pytest.raises(RuntimeError):
            answer.throw(RuntimeError("of the caller"))
    del answer
    gc.collect()
    is_stopped(redis_client, vendor, REQUEST, "caller")
    with pytest.raises(InvocationCancelledError):
        list(session.attach(REQUEST))


@pytest.mark.usefixtures("working")
def test_ctrl_c_in_the_reader_closes_the_vendors_connection(
    redis_url: str, redis_client: redis.Redis, vendor: Recorded
) -> None:
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, redis_url, REQUEST],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert reader.stdout is not None
        assert [reader.stdout.readline() for _ in range(2)] == ["one \n", "two \n"]
        assert vendor.open == 1
        reader.send_signal(signal.SIGINT)
        assert reader.wait(BOUND) != 0
        is_stopped(redis_client, vendor, REQUEST, "caller")
    finally:
        reader.kill()
        reader.wait()
        reader.stdout.close()  # type: ignore[union-attr]


@pytest.mark.usefixtures("working")
def test_a_deadline_closes_the_vendors_connection(session: Session, vendor: Recorded) -> None:
    answer = session.model.llm.submit(MODEL, user("x"), deadline=3.0, detached=True)
    eventually("it runs", lambda: vendor.open == 1)
    eventually("the vendor's connection is closed", lambda: vendor.open == 0)
    assert answer.status().state in ("running", "cancelled")
