"""Vendor calls that fail: what is tried again, what stands in, and what of it the stream tells."""

import signal
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from invokeq import Invocation, Session
from invokeq.errors import (
    InvocationCancelledError,
    ProviderUnavailableError,
    RateLimitedError,
    RejectedByProviderError,
)
from invokeq.protocol import events
from invokeq.protocol.entities import LLMModelConfig
from invokeq.protocol.events import Event, EventKind
from invokeq.protocol.redis import keys
from tests.integration.conftest import user
from tests.support.processes.worker import WorkerProcess, running_worker
from tests.support.vendors.openai_vendor import chat, vendor_server
from tests.support.vendors.recorded import Answer, Recorded, said
from tests.support.waiting import eventually

QUICK = "[retries]\nbase = 0.001\ncap = 0.01\n"
BUSY = said({"error": {"message": "busy"}}, 503)
GOOD = chat("all ", "good")


@pytest.fixture
def vendor() -> Iterator[Recorded]:
    with vendor_server() as server:
        yield server


@contextmanager
def worker_of(
    url: str, directory: Path, vendor: Recorded, more: str = QUICK, **config: Any
) -> Generator[WorkerProcess]:
    """Run a worker whose providers `openai` and `other` are one server."""
    options = {"type": "openai", "base_url": vendor.url, "api_key": "none"}
    providers = {"openai": options, "other": options}
    with running_worker(url, directory, providers=providers, more=more, **config) as worker:
        yield worker


def model(name: str = "openai/m", **parameters: object) -> LLMModelConfig:
    provider, _, short = name.partition("/")
    return LLMModelConfig(
        provider=provider, model=short, mode="chat", completion_params=dict(parameters)
    )


def refusal(retry_after: float) -> Answer:
    return said({"error": {"message": "slow down"}}, 429, retry_after=str(retry_after))


def text_of(invocation: Invocation[Any, Any]) -> str:
    return "".join(str(chunk.delta.message.content) for chunk in invocation)


def history(client: redis.Redis, request_id: str) -> list[Event]:
    entries: Any = client.xrange(keys.events(request_id))
    return [event for entry_id, fields in entries for event in events.unpack(entry_id, fields)]


def retries(client: redis.Redis, request_id: str) -> list[dict[str, Any]]:
    found = history(client, request_id)
    return [event.data for event in found if event.kind is EventKind.RETRY]


def test_a_vendor_that_recovers_is_asked_again(
    redis_url: str, redis_client: redis.Redis, tmp_path: Path, session: Session, vendor: Recorded
) -> None:
    """Fails when `RetryingProvider` hands the first error on: tried."""
    vendor.answer(BUSY, Answer(end="cut"), refusal(0.01), GOOD)
    with worker_of(redis_url, tmp_path, vendor, QUICK + "calls = 4\n"):
        invocation = session.model.llm.submit(model(), user("x"))
        assert text_of(invocation) == "all good"
    found = retries(redis_client, invocation.request_id)
    assert [failed["error"]["code"] for failed in found] == [
        "provider_unavailable",
        "provider_unavailable",
        "rate_limited",
    ]
    assert [failed["call"] for failed in found] == [1, 2, 3]
    assert all(failed["model"] == failed["next"] == "openai/m" for failed in found)
    assert found[2]["wait"] >= 0.01
    assert invocation.status().attempt == 1


def test_a_kept_connection_that_was_gone_is_a_call_like_any_other(
    redis_url: str, redis_client: redis.Redis, tmp_path: Path, session: Session, vendor: Recorded
) -> None:
    """Fails when the provider sends the request again by itself: then nothing is told. Tried."""
    vendor.answer(chat("first"), Answer(end="gone"), GOOD, Answer(end="gone"))
    own = "[retries.providers.other]\ncalls = 1\n"
    with worker_of(redis_url, tmp_path, vendor, own):
        assert text_of(session.model.llm.submit(model(), user("x"))) == "first"
        invocation = session.model.llm.submit(model(), user("x"))
        assert text_of(invocation) == "all good"
        assert len(vendor.asked) == 3
        (failed,) = retries(redis_client, invocation.request_id)
        assert (failed["error"]["code"], failed["call"]) == ("provider_unavailable", 1)
        assert (failed["wait"], failed["next"]) == (0.0, "openai/m")
        with pytest.raises(ProviderUnavailableError) as caught:
            list(session.model.llm.invoke(model("other/m"), user("x")))
        assert caught.value.calls == 1
        assert len(vendor.asked) == 4


def test_a_vendor_that_stays_away_is_asked_as_often_as_the_operator_says(
    redis_url: str, tmp_path: Path, session: Session, vendor: Recorded
) -> None:
    """Would count six requests if the SDK retried, too: max_retries=2 was tried."""
    vendor.answer(BUSY)
    own = "[retries.providers.other]\ncalls = 1\n"
    with worker_of(redis_url, tmp_path, vendor, QUICK + own):
        with pytest.raises(ProviderUnavailableError) as caught:
            list(session.model.llm.invoke(model(), user("x")))
        assert caught.value.calls == len(vendor.asked) == 3
        assert "after 3 vendor calls" in str(caught.value)
        with pytest.raises(ProviderUnavailableError) as caught:
            list(session.model.llm.invoke(model("other/m"), user("x")))
        assert caught.value.calls == 1
        assert len(vendor.asked) == 4


def test_what_the_vendor_refuses_for_good_is_not_asked_again(
    redis_url: str, tmp_path: Path, session: Session, vendor: Recorded
) -> None:
    vendor.answer(said({"error": {"message": "no"}}, 400))
    answer = session.model.llm.invoke(model(), user("x"))
    with worker_of(redis_url, tmp_path, vendor), pytest.raises(RejectedByProviderError) as caught:
        list(answer)
    assert caught.value.calls == len(vendor.asked) == 1


def test_nothing_is_tried_again_once_something_was_said(
    redis_url: str, redis_client: redis.Redis, tmp_path: Path, session: Session, vendor: Recorded
) -> None:
    """Fails when `said` stays false in `RetryingProvider.llm` or `serve_with_fallbacks`: both
    tried."""
    vendor.answer(chat("half ", end="cut"), GOOD)
    more = f'{QUICK}[fallbacks]\n"openai/m" = ["other/n"]\n'
    with worker_of(redis_url, tmp_path, vendor, more):
        invocation = session.model.llm.submit(model(), user("x"))
        chunks = iter(invocation)
        assert next(chunks).delta.message.content == "half "
        with pytest.raises(ProviderUnavailableError):
            list(chunks)
    assert len(vendor.asked) == 1
    assert retries(redis_client, invocation.request_id) == []


def test_a_wait_that_is_too_long_is_left_to_the_caller(
    redis_url: str, tmp_path: Path, session: Session, vendor: Recorded
) -> None:
    vendor.answer(refusal(99))
    with worker_of(redis_url, tmp_path, vendor):
        with pytest.raises(RateLimitedError) as caught:
            list(session.model.llm.invoke(model(), user("x")))
        assert (caught.value.retry_after, caught.value.calls) == (99, 1)
        vendor.answer(refusal(50))
        with pytest.raises(RateLimitedError) as caught:
            list(session.model.llm.invoke(model(), user("x"), deadline=40))
        assert (caught.value.retry_after, caught.value.calls) == (50, 1)


def test_the_next_model_of_the_operators_list_stands_in(
    redis_url: str, redis_client: redis.Redis, tmp_path: Path, session: Session, vendor: Recorded
) -> None:
    """The pool serves `openai` alone; `other` is there to stand in. Fails without
    `serve_with_fallbacks`'s loop: tried."""
    vendor.answer(BUSY, BUSY, refusal(99), GOOD)
    more = f'{QUICK}calls = 2\n[fallbacks]\n"openai/m" = ["other/n", "other/o"]\n'
    with worker_of(redis_url, tmp_path, vendor, more, queues=["llm.openai"]):
        invocation = session.model.llm.submit(model(), user("x"))
        chunks = list(invocation)
        assert session.workers()[0].providers.keys() == {"openai"}
    assert [asked.body["model"] for asked in vendor.asked] == ["m", "m", "n", "o"]
    assert {chunk.model for chunk in chunks} == {"o"}
    found = retries(redis_client, invocation.request_id)
    assert [(failed["model"], failed["next"]) for failed in found] == [
        ("openai/m", "openai/m"),
        ("openai/m", "other/n"),
        ("other/n", "other/o"),
    ]


def test_if_nobody_can_stand_in_the_error_is_that_of_what_was_asked_for(
    redis_url: str, redis_client: redis.Redis, tmp_path: Path, session: Session, vendor: Recorded
) -> None:
    vendor.answer(BUSY, said({"error": {"message": "no"}}, 400))
    more = f'{QUICK}calls = 1\n[fallbacks]\n"openai/m" = ["other/n"]\n'
    with worker_of(redis_url, tmp_path, vendor, more):
        invocation = session.model.llm.submit(model(), user("x"))
        with pytest.raises(ProviderUnavailableError) as caught:
            list(invocation)
    assert (caught.value.provider, caught.value.model) == ("openai", "m")
    assert (caught.value.calls, caught.value.tried) == (2, ["other/n"])
    found = retries(redis_client, invocation.request_id)
    assert [(failed["error"]["code"], failed["next"]) for failed in found] == [
        ("provider_unavailable", "other/n"),
        ("rejected_by_provider", None),
    ]


def test_cancelling_ends_a_wait_at_once(
    redis_url: str, redis_client: redis.Redis, tmp_path: Path, session: Session, vendor: Recorded
) -> None:
    vendor.answer(refusal(50))
    with worker_of(redis_url, tmp_path, vendor):
        invocation = session.model.llm.submit(model(), user("x"))
        eventually("it waits", lambda: retries(redis_client, invocation.request_id))
        invocation.cancel()
        with pytest.raises(InvocationCancelledError):
            list(invocation)
        eventually("it has ended", lambda: invocation.status().state == "cancelled")
    assert len(vendor.asked) == 1


def test_a_worker_that_ends_hands_a_waiting_invocation_back(
    redis_url: str, redis_client: redis.Redis, tmp_path: Path, session: Session, vendor: Recorded
) -> None:
    """Fails if the told retry counts as an answer: RETRY among ANSWERS was tried."""
    vendor.answer(refusal(50), GOOD)
    with worker_of(redis_url, tmp_path, vendor, limits={"shutdown_grace": 0.1}) as first:
        invocation = session.model.llm.submit(model(), user("x"))
        eventually("it waits", lambda: retries(redis_client, invocation.request_id))
        assert first.stop(signal.SIGTERM) == 0
        assert invocation.status().state == "queued"
        with worker_of(redis_url, tmp_path, vendor, name="w2"):
            assert text_of(invocation) == "all good"
    assert invocation.status().attempt == 2


def test_a_wait_is_not_the_vendors_silence(
    redis_url: str, tmp_path: Path, session: Session, vendor: Recorded
) -> None:
    """Fails when `Run._say_failed` leaves `last_activity_at` alone: tried."""
    vendor.answer(refusal(3), GOOD)
    with worker_of(redis_url, tmp_path, vendor, limits={"provider_silence": 0.5}):
        assert text_of(session.model.llm.submit(model(), user("x"))) == "all good"


def test_one_batch_of_many_is_asked_for_again_and_no_other(
    redis_url: str, redis_client: redis.Redis, tmp_path: Path, session: Session
) -> None:
    """Batch 30 of 40 meets a 429: the others are embedded once. Fails if the whole call is begun
    anew: a retry around `serve()` was tried."""
    more = f'{QUICK}[providers.scripted.embedding]\nfail_at = 30\nfail_with = "rate_limit"\n'
    texts = [f"text {i}" for i in range(40 * 32)]
    with running_worker(redis_url, tmp_path, queues=["text-embedding"], more=more) as worker:
        config = {"provider": "scripted", "model": "hash"}
        invocation = session.model.text_embedding.submit(config, texts)
        assert len(invocation.result().embeddings) == len(texts)
        noted = worker.vendor_events(invocation.request_id)
    sizes = [int(event.split(":")[2]) for event in noted if event.startswith("started:")]
    assert len([event for event in noted if event.startswith("failed:")]) == 1
    assert sum(sizes) == len(texts) + sizes[0]
    (failed,) = retries(redis_client, invocation.request_id)
    assert failed["error"]["code"] == "rate_limited"
