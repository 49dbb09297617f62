"""`session.model.llm` through a real server and a real worker process."""

import gc
import subprocess
import sys
import time
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis

from invokeq import AsyncSession, Session
from invokeq.errors import (
    DeadlineExceededError,
    InternalError,
    InvalidParameterError,
    InvalidRequestError,
    InvocationCancelledError,
    ModelNotFoundError,
    NoWorkerError,
    PickupTimeoutError,
    ProviderNotFoundError,
    ProviderSilenceError,
    ProviderUnavailableError,
    RateLimitedError,
    RequestTooLargeError,
    StreamExpiredError,
)
from invokeq.protocol.entities import (
    LLMModelConfig,
    LLMResult,
    PromptMessageTool,
    SystemPromptMessage,
    UserPromptMessage,
)
from invokeq.protocol.redis import keys
from invokeq.session_base import parts_of
from tests.integration.conftest import stream_config, user
from tests.support.processes.worker import WorkerProcess, running_worker
from tests.support.waiting import eventually, eventually_async

pytestmark = pytest.mark.usefixtures("worker")

ECHO: dict[str, Any] = {
    "provider": "scripted",
    "model": "echo",
    "mode": "chat",
    "completion_params": {},
}
TOOL = PromptMessageTool(name="look", description="looks", parameters={"type": "object"})


def text_of(chunks: Generator[object, None, None]) -> str:
    return "".join(str(chunk.delta.message.content) for chunk in chunks)  # type: ignore[attr-defined]


def test_streams_chunks_in_order_with_usage_in_the_last(session: Session) -> None:
    chunks = list(session.model.llm.invoke(ECHO, user("one two three")))
    assert "".join(str(c.delta.message.content) for c in chunks) == "one two three"
    assert [c.delta.index for c in chunks] == list(range(len(chunks)))
    assert chunks[-1].delta.usage is not None
    assert chunks[-1].delta.usage.completion_tokens > 0
    assert chunks[-1].delta.finish_reason == "stop"
    assert all(c.model == "echo" and c.prompt_messages == [] for c in chunks)


def test_returns_a_real_generator(session: Session) -> None:
    answer = session.model.llm.invoke(ECHO, user("x"))
    assert isinstance(answer, Generator)
    answer.close()


def test_result_without_streaming(session: Session) -> None:
    result = session.model.llm.invoke(ECHO, user("one two"), stream=False)
    assert isinstance(result, LLMResult)
    assert result.message.content == "one two"
    assert result.usage.total_tokens > 0
    assert result.usage.prompt_unit_price == 0  # never copied: Dify's rule


def test_takes_the_value_of_a_model_selector(session: Session) -> None:
    selector = {"provider": "langgenius/scripted/scripted", "model": "echo", "model_type": "llm"}
    assert text_of(session.model.llm.invoke(selector, user("hello"))) == "hello"


def test_nothing_is_sent_before_the_first_next(session: Session, redis_client: redis.Redis) -> None:
    answer = session.model.llm.invoke(ECHO, user("x"))
    assert redis_client.keys(keys.job("*")) == []
    next(answer)
    assert len(redis_client.keys(keys.job("*"))) == 1  # type: ignore[arg-type]


def test_a_request_larger_than_a_job_travels_beside_it(
    session: Session, redis_client: redis.Redis
) -> None:
    text = "word " * 300_000
    invocation = session.model.llm.submit(ECHO, user(text))
    assert text_of(iter(invocation)) == text
    size = redis_client.hstrlen(keys.job(invocation.request_id), "data")
    assert isinstance(size, int)
    assert size < 1024


@pytest.mark.parametrize("model", ["no-tools", "tools"])
def test_tools_reach_only_models_that_have_the_feature(
    session: Session, worker: WorkerProcess, model: str
) -> None:
    config = LLMModelConfig(provider="scripted", model=model, mode="chat")
    invocation = session.model.llm.submit(config, user("hi"), tools=[TOOL])
    list(invocation)
    seen = worker.vendor_events(invocation.request_id)
    assert ("tools:look" in seen) is (model == "tools")


def test_stop_words_reach_the_vendor(session: Session) -> None:
    assert "three" not in text_of(
        session.model.llm.invoke(ECHO, user("one two three"), stop=["three"])
    )


def test_all_roles_arrive(session: Session) -> None:
    messages = [SystemPromptMessage(content="be brief"), UserPromptMessage(content="hello")]
    assert text_of(session.model.llm.invoke(ECHO, messages)) == "hello"


@pytest.mark.parametrize(
    ("config", "error", "said"),
    [
        ({"provider": "nobody", "model": "echo"}, ProviderNotFoundError, "scripted"),
        ({"provider": "scripted", "model": "nothing"}, ModelNotFoundError, "echo"),
        ({"provider": "scripted"}, InvalidRequestError, "model_config.model"),
        ("gpt-4o", InvalidRequestError, "model_config"),
        (
            {"provider": "scripted", "model": "echo", "completion_params": {"temperature": 7}},
            InvalidParameterError,
            "temperature",
        ),
    ],
)
def test_bad_models_and_parameters(
    session: Session, config: dict[str, object], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        list(session.model.llm.invoke(config, user("x")))


@pytest.mark.parametrize(
    "messages", [[], "hello", [{"role": "king", "content": "x"}], [{"content": "x"}], [42], None]
)
def test_bad_messages_are_refused_at_once(session: Session, messages: object) -> None:
    with pytest.raises(InvalidRequestError, match="prompt_messages"):
        session.model.llm.invoke(ECHO, messages)  # type: ignore[arg-type]


def test_oversized_requests_never_reach_redis(redis_url: str, redis_client: redis.Redis) -> None:
    with (
        Session("acme", redis=redis_url, max_request_bytes=100_000) as session,
        pytest.raises(RequestTooLargeError, match="100000") as caught,
    ):
        session.model.llm.invoke(ECHO, user("x" * 200_000), stream=False)
    assert isinstance(caught.value.size, int)
    assert caught.value.size > 200_000
    assert redis_client.keys("*job*") == []


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("rate_limit", RateLimitedError),
        ("server_error", ProviderUnavailableError),
        ("internal", InternalError),
    ],
)
def test_faults_of_the_vendor_are_typed_and_keep_what_was_said(
    session: Session, fault: str, error: type[Exception]
) -> None:
    chunks: list[object] = []
    with pytest.raises(error) as caught:
        chunks.extend(
            session.model.llm.invoke(
                stream_config(chunks=9, fail_after=3, fail_with=fault, retry_after=2.5), user("x")
            )
        )
    # list.extend keeps what the iterator gave before it raised
    assert len(chunks) == 3
    assert caught.value.attempt == 1  # type: ignore[attr-defined]
    assert len(str(caught.value.request_id)) == 32  # type: ignore[attr-defined]
    if error is RateLimitedError:
        assert caught.value.retry_after == 2.5  # type: ignore[attr-defined]


@pytest.mark.parametrize("way", ["close", "break", "del", "raise"])
def test_leaving_the_iteration_closes_the_vendors_stream(
    session: Session, worker: WorkerProcess, way: str
) -> None:
    answer = session.model.llm.invoke(
        stream_config(chunks=100_000, rate=200), user("x"), request_id="ab" * 16
    )
    next(answer)
    if way == "close":
        answer.close()
    elif way == "break":
        for _ in answer:
            break
        del answer
    elif way == "del":
        del answer
    else:
        with pytest.raises(RuntimeError):
            answer.throw(RuntimeError("mine"))
    gc.collect()
    eventually("the vendor was closed", lambda: "closed" in worker.vendor_events("ab" * 16))
    with pytest.raises(InvocationCancelledError) as caught:
        list(session.attach("ab" * 16))
    assert caught.value.reason == "caller"


def test_a_queued_invocation_that_is_cancelled_never_runs(
    redis_url: str, tmp_path: Path, session: Session, worker: WorkerProcess
) -> None:
    worker.stop()
    with running_worker(redis_url, tmp_path, name="w2", concurrency=1) as busy:
        blocker = session.model.llm.submit(stream_config(hang_after=1, chunks=3), user("x"))
        blocker_items = iter(blocker)
        next(blocker_items)
        waiting = session.model.llm.submit(ECHO, user("never"))
        assert waiting.status().state == "queued"
        assert waiting.status().position == 0
        assert waiting.cancel() is True
        assert waiting.cancel() is False
        with pytest.raises(InvocationCancelledError):
            list(waiting)
        assert waiting.status().state == "cancelled"
        blocker.close()
        assert text_of(session.model.llm.invoke(ECHO, user("after"))) == "after"
        assert busy.vendor_events(waiting.request_id) == []


def test_submit_status_attach_and_resume(session: Session) -> None:
    invocation = session.model.llm.submit(ECHO, user("a b c d e f"), detached=True)
    whole = list(invocation)
    # On a cluster the books are closed a moment after the last event is written.
    eventually("the books are closed", lambda: invocation.status().state == "done")
    status = invocation.status()
    assert (status.attempt, status.worker) == (1, "w1")
    assert status.enqueued_at <= status.started_at <= status.ended_at  # type: ignore[operator]
    again = session.attach(invocation.request_id)
    assert list(again) == whole
    for cut in range(len(whole)):
        part = session.attach(invocation.request_id)
        reader = iter(part)
        for _ in range(cut + 1):
            next(reader)
        rest = session.attach(invocation.request_id, after=part.last_id)
        assert list(rest) == whole[cut + 1 :]
    assert session.attach(invocation.request_id).result().message.content == "a b c d e f"


def test_attaching_after_the_last_event_ends_at_once(session: Session) -> None:
    invocation = session.model.llm.submit(ECHO, user("a"), detached=True)
    list(invocation)
    last = invocation.status().last_id
    assert list(session.attach(invocation.request_id, after=last)) == []


def test_attaching_to_nothing_is_an_error(session: Session) -> None:
    with pytest.raises(StreamExpiredError):
        list(session.attach("0" * 32))
    with pytest.raises(StreamExpiredError):
        session.attach("0" * 32).status()
    with pytest.raises(InvalidRequestError, match="request_id"):
        session.attach("nonsense")
    with pytest.raises(InvalidRequestError, match="after"):
        session.attach("0" * 32, after="soon")


def test_an_expired_stream_is_an_error_not_an_empty_answer(
    session: Session, redis_client: redis.Redis
) -> None:
    invocation = session.model.llm.submit(ECHO, user("a b"), detached=True)
    list(invocation)
    redis_client.delete(keys.events(invocation.request_id))
    with pytest.raises(StreamExpiredError):
        list(session.attach(invocation.request_id))


def test_detach_lets_it_run_on(session: Session, worker: WorkerProcess) -> None:
    invocation = session.model.llm.submit(stream_config(chunks=40, rate=100), user("x"))
    invocation_items = iter(invocation)
    next(invocation_items)
    invocation.detach()
    invocation.close()
    eventually(
        "the vendor finished", lambda: "finished" in worker.vendor_events(invocation.request_id)
    )
    assert len(list(session.attach(invocation.request_id))) >= 40


def test_a_reader_that_has_gone_does_not_burn_money(redis_url: str, worker: WorkerProcess) -> None:
    """The process dies, and its handle with it; while a process lives, its handles live."""
    rid = "ef" * 16
    command = [sys.executable, "-m", "tests.integration.programs.held_handle", redis_url, rid]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        eventually("it runs", lambda: "started" in worker.vendor_events(rid))
        process.kill()
    eventually("the vendor was closed", lambda: "closed" in worker.vendor_events(rid))
    session = Session("acme", redis=redis_url)
    with session, pytest.raises(InvocationCancelledError) as caught:
        list(session.attach(rid))
    assert caught.value.reason == "consumer_gone"


def test_the_same_request_id_runs_once(session: Session, worker: WorkerProcess) -> None:
    rid = "cd" * 16
    answers = [session.model.llm.submit(ECHO, user("same"), request_id=rid) for _ in range(5)]
    assert [text_of(iter(answer)) for answer in answers] == ["same"] * 5
    assert worker.vendor_events(rid).count("started") == 1


def test_deadlines(session: Session, worker: WorkerProcess) -> None:
    slow = stream_config(chunks=100_000, rate=50)
    invocation = session.model.llm.submit(slow, user("x"), deadline=0.5)
    with pytest.raises(DeadlineExceededError, match="while"):
        list(invocation)
    eventually("closed", lambda: "closed" in worker.vendor_events(invocation.request_id))
    for past in (-1, datetime.now(UTC) - timedelta(seconds=1), datetime.now()):  # noqa: DTZ005
        with pytest.raises(InvalidRequestError, match="deadline"):
            session.model.llm.invoke(slow, user("x"), deadline=past)


def test_a_deadline_that_passes_in_the_queue_never_reaches_the_vendor(
    redis_url: str, tmp_path: Path, session: Session, worker: WorkerProcess
) -> None:
    worker.stop()
    with running_worker(redis_url, tmp_path, name="w2", concurrency=1) as busy:
        blocker = session.model.llm.submit(stream_config(hang_after=1, chunks=3), user("x"))
        blocker_items = iter(blocker)
        next(blocker_items)
        waiting = session.model.llm.submit(ECHO, user("x"), deadline=0.2)
        deadline = time.time() + 0.2
        eventually("the deadline passed", lambda: time.time() > deadline)
        blocker.close()
        with pytest.raises(DeadlineExceededError, match="before"):
            list(waiting)
        assert busy.vendor_events(waiting.request_id) == []


def test_a_silent_vendor_is_given_up(redis_url: str, tmp_path: Path, worker: WorkerProcess) -> None:
    worker.stop()
    with (
        running_worker(redis_url, tmp_path, name="w2", limits={"provider_silence": 1}) as second,
        Session("acme", redis=redis_url) as session,
    ):
        invocation = session.model.llm.submit(stream_config(hang_after=2, chunks=5), user("x"))
        with pytest.raises(ProviderSilenceError) as caught:
            list(invocation)
        assert (caught.value.provider, caught.value.model) == ("scripted", "stream")
        eventually("closed", lambda: "closed" in second.vendor_events(invocation.request_id))


def test_nobody_picks_it_up(redis_url: str, tmp_path: Path, worker: WorkerProcess) -> None:
    worker.stop()
    with (
        running_worker(redis_url, tmp_path, name="w2", concurrency=1),
        Session("acme", redis=redis_url, pickup_timeout=1) as session,
    ):
        blocker = session.model.llm.submit(stream_config(hang_after=1, chunks=3), user("x"))
        blocker_items = iter(blocker)
        next(blocker_items)
        waiting = session.model.llm.submit(ECHO, user("x"))
        with pytest.raises(PickupTimeoutError):
            list(waiting)
        assert waiting.status().state == "cancelled"
        blocker.close()


def test_no_worker_is_told_at_once(session: Session, worker: WorkerProcess) -> None:
    list(session.model.llm.invoke(ECHO, user("x")))
    assert worker.stop() == 0
    parts_of(session).directory.forget()
    with pytest.raises(NoWorkerError, match="no worker is alive"):
        list(session.model.llm.invoke(ECHO, user("x")))


def test_high_priority_overtakes(
    redis_url: str, tmp_path: Path, session: Session, worker: WorkerProcess
) -> None:
    worker.stop()
    with running_worker(redis_url, tmp_path, name="w2", concurrency=1) as busy:
        blocker = session.model.llm.submit(stream_config(hang_after=1, chunks=3), user("x"))
        blocker_items = iter(blocker)
        next(blocker_items)
        first = session.model.llm.submit(ECHO, user("first"))
        urgent = session.model.llm.submit(ECHO, user("urgent"), priority="high")
        blocker.close()
        list(first)
        list(urgent)
        order = [line.split(" ")[0] for line in busy.journal.read_text().splitlines()]
        assert order.index(urgent.request_id) < order.index(first.request_id)


async def test_async_session_streams_collects_and_cancels(
    redis_url: str, worker: WorkerProcess
) -> None:
    async with AsyncSession("acme", redis=redis_url) as session:
        texts = [
            str(chunk.delta.message.content)
            async for chunk in session.model.llm.invoke(ECHO, user("one two"))
        ]
        assert "".join(texts) == "one two"
        result = await session.model.llm.invoke(ECHO, user("three"), stream=False)
        assert result.message.content == "three"
        invocation = await session.model.llm.submit(
            stream_config(chunks=100_000, rate=200), user("x")
        )
        async for _ in invocation:
            break
        await invocation.close()
        rid = invocation.request_id
        await eventually_async("closed", lambda: "closed" in worker.vendor_events(rid))
        assert (await session.attach(rid).status()).state in ("running", "cancelled")
        with pytest.raises(InvocationCancelledError):
            await session.attach(rid).result()
