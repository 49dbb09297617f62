"""Many calls in one go: all of them are in their lanes, or nothing is."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.exceptions import OutOfMemoryError
from rq.job import Job

from invokeq import AsyncSession, Call, Session
from invokeq.errors import (
    BrokerFullError,
    InvalidRequestError,
    ProviderNotFoundError,
    QueueFullError,
)
from invokeq.operations import submit_many
from invokeq.protocol.codec import OrjsonSerializer
from invokeq.protocol.redis import keys
from invokeq.protocol.redis.resp import Reply
from invokeq.session_base import parts_of
from invokeq.transport.batch import Batch
from tests.integration.conftest import stream_config, user
from tests.support.processes.worker import WorkerProcess, running_worker
from tests.support.waiting import eventually

LANE = "llm:acme"
PUSHES = ("RPUSH", "LPUSH")
ECHO = {"provider": "scripted", "model": "echo", "mode": "chat"}
QUEUES = ("llm", "text-embedding", "rerank", "tts", "speech2text", "moderation")

OneBatch = Callable[[Batch], list[Reply]]
Hook = Callable[[int, Batch, OneBatch], list[Reply]]


def echoes(session: Session | AsyncSession, texts: Sequence[str], **extras: Any) -> list[Any]:
    return [session.model.llm.prepare(ECHO, user(text), **extras) for text in texts]


def scripted(model: str) -> dict[str, str]:
    return {"provider": "scripted", "model": model}


def suspend(client: redis.Redis) -> None:
    """Let no worker claim anything."""
    client.set(keys.SUSPENDED, 1, ex=60)


def in_lane(client: redis.Redis) -> list[str]:
    found: Any = client.lrange(keys.lane_list(LANE), 0, -1)
    return [request_id.decode() for request_id in found]


def left(client: redis.Redis) -> list[Any]:
    """Name what there is of jobs, in whatever state, and beside them."""
    found: Any = [*client.keys(keys.job("*")), *client.keys("invokeq:{*")]
    return [*found, *in_lane(client)]


def watch(session: Session, monkeypatch: pytest.MonkeyPatch, hook: Hook) -> None:
    """Have a hook carry out the batches that enqueue, and tell it their number, from 0."""
    once, number = parts_of(session).transport.once, iter(range(1_000_000))

    def watched(batch: Batch) -> list[Reply]:
        pushes = any(command[0] in PUSHES for command in batch.commands)
        return hook(next(number), batch, once) if pushes else once(batch)

    monkeypatch.setattr(parts_of(session).transport, "once", watched)


@pytest.fixture
def bounded(redis_url: str, redis_client: redis.Redis, tmp_path: Path) -> Iterator[WorkerProcess]:
    """A worker that claims nothing, and lets 300 wait in a lane."""
    suspend(redis_client)
    with running_worker(redis_url, tmp_path, limits={"lane_depth": 300}) as worker:
        yield worker


def test_answers_come_in_the_order_of_the_calls(session: Session, worker: WorkerProcess) -> None:
    """Three groups. Fails when the groups' outcomes are put together in another order."""
    texts = [f"text {n}" for n in range(600)]
    invocations = session.submit_many(iter(echoes(session, texts, detached=True)))
    assert [each.result().message.content for each in invocations] == texts


def test_they_stand_in_their_lane_in_order_and_cost_a_round_trip_a_group(
    redis_client: redis.Redis,
    session: Session,
    worker: WorkerProcess,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    suspend(redis_client)
    sizes: list[int] = []

    def hook(_: int, batch: Batch, once: OneBatch) -> list[Reply]:
        sizes.append(sum(command[0] == "RPUSH" for command in batch.commands))
        return once(batch)

    watch(session, monkeypatch, hook)
    invocations = session.submit_many(echoes(session, ["x"] * 600))
    assert in_lane(redis_client) == [each.request_id for each in invocations]
    assert sizes == [256, 256, 88]
    large = echoes(session, ["x" * 3_000_000] * 3)
    session.submit_many([*large, *echoes(session, ["x"] * 2)])
    assert sizes[3:] == [1, 1, 3]


def test_a_group_rings_once_for_each_of_its_lanes(
    redis_client: redis.Redis,
    session: Session,
    worker: WorkerProcess,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Behind its last job. Fails when every call rings, and when none does: tried."""
    rung: list[list[int]] = []

    def hook(_: int, batch: Batch, once: OneBatch) -> list[Reply]:
        pushed = [str(command[1]) for command in batch.commands if command[0] in PUSHES]
        rung.append([at for at, key in enumerate(pushed) if key == keys.wakeup("llm")])
        return once(batch)

    watch(session, monkeypatch, hook)
    invocations = session.submit_many(echoes(session, ["x"] * 300, detached=True))
    assert rung == [[256], [44]]
    assert redis_client.sismember(keys.QUEUES, keys.lane_list(LANE))
    assert [each.result().message.content for each in invocations] == ["x"] * 300


def test_calls_of_all_kinds_go_together(redis_url: str, tmp_path: Path) -> None:
    with (
        running_worker(redis_url, tmp_path, queues=QUEUES, summary_model="scripted/echo"),
        Session("acme", redis=redis_url) as session,
    ):
        model = session.model
        calls: list[Call[Any, Any]] = [
            model.moderation.prepare(scripted("words"), "an attack"),
            model.llm.prepare(ECHO, user("hello")),
            model.text_embedding.prepare(scripted("hash"), ["a", "b"]),
            model.rerank.prepare(scripted("overlap"), ["tea", "a queue"], "queue"),
            model.summary.prepare("short", ""),
        ]
        flagged, echo, vectors, ranking, summary = [
            each.result() for each in session.submit_many(calls)
        ]
    assert flagged is True
    assert echo.message.content == "hello"
    assert len(vectors.embeddings) == 2
    assert ranking.docs[0].text == "a queue"
    assert isinstance(summary, str)


def test_of_calls_that_are_refused_nothing_is_left(
    redis_client: redis.Redis, session: Session, bounded: WorkerProcess
) -> None:
    """The lane is full in the second group. Fails without `_take_all_back`: tried."""
    ids = [f"{n:032x}" for n in range(400)]
    texts = ["x" * 40_000 if n == 7 else "x" for n in range(400)]  # one travels beside its job
    calls = [
        session.model.llm.prepare(ECHO, user(text), request_id=rid)
        for text, rid in zip(texts, ids, strict=True)
    ]
    with pytest.raises(QueueFullError, match="Lane llm:acme has 300") as caught:
        session.submit_many(calls)
    assert caught.value.taken_back == 300
    assert caught.value.request_id == ids[300]
    assert "300 calls" in caught.value.__notes__[0]
    assert left(redis_client) == []
    accepted = session.submit_many(calls[:300])  # the ids are free again, and the calls as good
    redis_client.delete(keys.SUSPENDED)
    assert [each.result().message.content for each in accepted] == texts[:300]


def test_a_queue_is_not_flooded_by_one_group(
    redis_url: str, redis_client: redis.Redis, session: Session, tmp_path: Path
) -> None:
    """Fails when `Directory.count` is told only after the push: tried."""
    suspend(redis_client)
    with running_worker(redis_url, tmp_path, limits={"queue_depth": 5}):
        with pytest.raises(QueueFullError, match="Queue llm has 5"):
            session.submit_many(echoes(session, ["x"] * 10))
        assert left(redis_client) == []
        session.submit_many(echoes(session, ["x"] * 5))


def test_what_nobody_serves_is_found_before_anything_is_sent(
    redis_client: redis.Redis,
    session: Session,
    worker: WorkerProcess,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    suspend(redis_client)
    pushed: list[int] = []

    def hook(number: int, batch: Batch, once: OneBatch) -> list[Reply]:
        pushed.append(number)
        return once(batch)

    watch(session, monkeypatch, hook)
    calls = echoes(session, ["x"] * 300)
    calls.append(session.model.llm.prepare({"provider": "nobody", "model": "m"}, user("x")))
    with pytest.raises(ProviderNotFoundError, match="nobody"):
        session.submit_many(calls)
    assert pushed == []
    with pytest.raises(InvalidRequestError, match="request_id"):
        echoes(session, ["x"], request_id="not hex")


def test_a_broker_that_fails_midway_keeps_none_of_them(
    redis_client: redis.Redis,
    session: Session,
    worker: WorkerProcess,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It carries the second group out and then fails, as far as one can tell. Fails when that group
    is not among what is taken back: tried."""
    suspend(redis_client)

    def hook(number: int, batch: Batch, once: OneBatch) -> list[Reply]:
        replies = once(batch)
        return [*replies[:-1], OutOfMemoryError("OOM")] if number == 1 else replies

    watch(session, monkeypatch, hook)
    with pytest.raises(BrokerFullError) as caught:
        session.submit_many(echoes(session, ["x"] * 600, detached=True))
    assert caught.value.taken_back == 512
    assert left(redis_client) == []


def test_what_a_worker_has_claimed_is_cancelled(
    session: Session, worker: WorkerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails without the cancelling: tried."""
    monkeypatch.setattr(submit_many, "GROUP_CALLS", 1)
    rid = "ab" * 16
    config = stream_config(hang_after=1, chunks=3)

    def hook(number: int, batch: Batch, once: OneBatch) -> list[Reply]:
        if number == 1:
            eventually("it runs", lambda: "started" in worker.vendor_events(rid))
            return [OutOfMemoryError("OOM")]
        return once(batch)

    watch(session, monkeypatch, hook)
    calls = [
        session.model.llm.prepare(config, user("x"), detached=True, request_id=rid),
        *echoes(session, ["x"]),
    ]
    with pytest.raises(BrokerFullError):
        session.submit_many(calls)
    eventually("it stopped", lambda: "closed" in worker.vendor_events(rid))
    state = session.attach(rid).status
    eventually("its end is in the books", lambda: state().state == "cancelled")


def test_a_request_id_that_is_there_twice_runs_once(
    redis_client: redis.Redis, session: Session, worker: WorkerProcess
) -> None:
    """The second attaches to the first, as with two `submit`; and one that was there before is not
    taken back with what came later."""
    rid = "cd" * 16
    twice = echoes(session, ["first", "second"], request_id=rid, detached=True)
    answers = [each.result().message.content for each in session.submit_many(twice)]
    assert answers == ["first", "first"]
    assert worker.vendor_events(rid) == ["started", "finished"]


def test_what_was_there_before_is_not_taken_back(
    redis_client: redis.Redis, session: Session, bounded: WorkerProcess
) -> None:
    """Fails when whatever bears a request id of the list is taken back: tried."""
    rid = "cd" * 16
    first = session.model.llm.submit(ECHO, user("first"), request_id=rid)
    again = echoes(session, ["second"], request_id=rid)
    with pytest.raises(QueueFullError):
        session.submit_many([*again, *echoes(session, ["x"] * 300)])
    assert in_lane(redis_client) == [rid]
    assert first.status().state == "queued"


def test_a_prepared_call_is_sent_as_often_as_one_likes(
    session: Session, worker: WorkerProcess
) -> None:
    (call,) = echoes(session, ["again"])
    invocations = session.submit_many([call] * 3)
    assert len({each.request_id for each in invocations}) == 3
    assert [each.result().message.content for each in invocations] == ["again"] * 3
    assert session.submit_many([]) == []


@pytest.mark.parametrize("text", ["x", "compressed " * 200])
def test_rq_reads_the_job_whether_it_is_compressed_or_not(
    redis_client: redis.Redis, session: Session, worker: WorkerProcess, text: str
) -> None:
    suspend(redis_client)
    (waiting,) = session.submit_many(echoes(session, [text]))
    job = Job.fetch(waiting.request_id, connection=redis_client, serializer=OrjsonSerializer)
    assert job.func_name == "invokeq_worker.entry.execute"
    assert job.args[0]["request"]["prompt_messages"][0]["content"] == text
    raw: Any = redis_client.hget(keys.job(waiting.request_id), "data")
    assert raw.startswith(b"[") is (len(text) < 1000)
    redis_client.delete(keys.SUSPENDED)
    assert waiting.result().message.content == text


async def test_the_same_on_asyncio(redis_url: str, worker: WorkerProcess) -> None:
    async with AsyncSession("acme", redis=redis_url) as session:
        texts = [f"text {n}" for n in range(300)]
        invocations = await session.submit_many(echoes(session, texts, detached=True))
        answers = [(await each.result()).message.content for each in invocations]
    assert answers == texts


async def test_on_asyncio_nothing_is_left_either(
    redis_url: str, redis_client: redis.Redis, bounded: WorkerProcess
) -> None:
    async with AsyncSession("acme", redis=redis_url) as session:
        with pytest.raises(QueueFullError) as caught:
            await session.submit_many(echoes(session, ["x"] * 400, detached=True))
    assert caught.value.taken_back == 300
    assert left(redis_client) == []


async def test_on_asyncio_a_broker_that_fails_keeps_none_either(
    redis_url: str,
    redis_client: redis.Redis,
    bounded: WorkerProcess,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Fails when the plan does not hear of the fault: tried."""
    async with AsyncSession("acme", redis=redis_url) as session:
        await session.workers()
        once, number = parts_of(session).transport.once, iter(range(1000))

        async def failing(batch: Batch) -> list[Reply]:
            replies = await once(batch)
            return [OutOfMemoryError("OOM")] if next(number) == 0 else replies

        monkeypatch.setattr(parts_of(session).transport, "once", failing)
        with pytest.raises(BrokerFullError):
            await session.submit_many(echoes(session, ["x"] * 10, detached=True))
        assert left(redis_client) == []
