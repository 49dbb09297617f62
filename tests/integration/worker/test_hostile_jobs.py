"""Jobs that are not ours, or not what they say: each is failed with a reason, and harms nobody."""

import logging
import pickle
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
import redis
from rq import Queue, SimpleWorker
from rq.defaults import RQ_KEY_PREFIX
from rq.job import Job

from invokeq import Session
from invokeq.protocol import codec
from invokeq.protocol.codec import OrjsonSerializer
from invokeq.protocol.redis import keys
from invokeq.protocol.requests import PROTOCOL_VERSION, new_request_id
from tests.integration.conftest import user
from tests.support.processes.worker import WorkerProcess
from tests.support.waiting import eventually

LANE = "llm:acme"
ENVELOPE = object()
ECHO = {"provider": "scripted", "model": "echo"}


def envelope(job_id: str, **changes: Any) -> dict[str, Any]:
    return {
        "v": PROTOCOL_VERSION,
        "request_id": job_id,
        "plugin_id": "acme",
        "request": {
            "kind": "llm",
            "provider": "scripted",
            "model": "echo",
            "prompt_messages": [{"role": "user", "content": "x"}],
        },
        **changes,
    }


def plant(client: redis.Redis, data: bytes, request_id: str, lane: str = LANE) -> None:
    """Put a job into a lane the way RQ does, with whatever data."""
    fields: Any = {"data": data, "status": "queued", "origin": lane}
    client.hset(keys.job(request_id), mapping=fields)
    client.expire(keys.job(request_id), 600)
    client.sadd(keys.QUEUES, keys.lane_list(lane))
    client.rpush(keys.lane_list(lane), request_id)


def call(*parts: Any) -> Callable[[str], bytes]:
    return lambda rid: zlib.compress(
        orjson.dumps([[envelope(rid)] if part is ENVELOPE else part for part in parts])
    )


def with_envelope(**changes: Any) -> Callable[[str], bytes]:
    return lambda rid: zlib.compress(
        orjson.dumps([codec.ENTRY_POINT, None, [envelope(rid, **changes)], {}])
    )


def why_failed(client: redis.Redis, request_id: str) -> str:
    """What RQ's books say of the last failure of a job."""
    job = Job.fetch(request_id, connection=client, serializer=OrjsonSerializer)
    result = job.latest_result()
    assert result is not None
    return str(result.exc_string)


class Bomb:
    """Creates a file if anybody unpickles it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.path), "w")


CASES: dict[str, tuple[Callable[[str], bytes], str]] = {
    "another function": (call("os.system", None, ["true"], {}), "names 'os.system'"),
    "an instance": (call(codec.ENTRY_POINT, {"x": 1}, ENVELOPE, {}), "is not \\[function"),
    "keywords": (call(codec.ENTRY_POINT, None, ENVELOPE, {"x": 1}), "is not \\[function"),
    "no envelope": (call(codec.ENTRY_POINT, None, [], {}), "is not \\[function"),
    "a list as envelope": (call(codec.ENTRY_POINT, None, [[1]], {}), "is not \\[function"),
    "not json": (lambda _: zlib.compress(b"{'a': 1}"), "is not JSON"),
    "not compressed, not json": (lambda _: b"\xff\xfe\x00", "is not JSON"),
    "empty": (lambda _: zlib.compress(b""), "is not JSON"),
    "a zip bomb": (lambda _: zlib.compress(b"[" * 50_000_000), "is over"),
    "a newer version": (with_envelope(v=99), "protocol version 99"),
    "no version": (with_envelope(v=None), "protocol version None"),
    "a stranger's field": (with_envelope(credentials="x"), "Extra inputs"),
    "another request id": (with_envelope(request_id="f" * 32), "carries request"),
    "another plugin": (with_envelope(plugin_id="victim"), "may not use the lane of 'acme'"),
    "an endless deadline": (with_envelope(deadline="inf"), "finite"),
    "no request": (with_envelope(request=None), "kind|Field required|provider"),
    "a body that is not there": (
        with_envelope(request=None, body={"parts": 3, "size": 10}),
        "3 of 3 parts are gone",
    ),
    "a broken request": (with_envelope(request={"kind": "llm"}), "Field required"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_job_that_is_not_ours_is_failed_with_the_reason(
    redis_client: redis.Redis, worker: WorkerProcess, session: Session, case: str
) -> None:
    build, reason = CASES[case]
    rid = new_request_id()
    plant(redis_client, build(rid), rid)
    failed = Queue(LANE, connection=redis_client, serializer=OrjsonSerializer).failed_job_registry
    eventually("it is failed", lambda: rid in failed)
    said = why_failed(redis_client, rid)
    assert re.search(reason, said), said
    assert list(session.model.llm.invoke(ECHO, user("still there")))
    assert worker.vendor_events(rid) == []


def test_pickles_are_never_read(
    redis_client: redis.Redis, worker: WorkerProcess, session: Session, tmp_path: Path
) -> None:
    trap = tmp_path / "exploded"
    job = Queue(LANE, connection=redis_client).enqueue(open, Bomb(trap), job_id="a" * 32)
    rid = new_request_id()
    plant(redis_client, pickle.dumps(Bomb(trap)), rid)
    failed = Queue(LANE, connection=redis_client, serializer=OrjsonSerializer).failed_job_registry
    eventually("both are failed", lambda: {job.id, rid} <= set(failed.get_job_ids()))
    for request_id in (job.id, rid):
        assert "is a pickle" in why_failed(redis_client, request_id)
    assert not trap.exists()
    assert worker.process.poll() is None
    assert list(session.model.llm.invoke(ECHO, user("still there")))
    redis_client.expire(keys.job(job.id), 60)


@pytest.mark.usefixtures("worker")
def test_a_queue_without_a_lane_takes_no_jobs(redis_client: redis.Redis) -> None:
    rid = new_request_id()
    data = zlib.compress(orjson.dumps([codec.ENTRY_POINT, None, [envelope(rid)], {}]))
    plant(redis_client, data, rid, lane="llm")
    failed = Queue("llm", connection=redis_client, serializer=OrjsonSerializer).failed_job_registry
    eventually("it is failed", lambda: rid in failed)
    assert "enqueue into llm:<plugin>" in why_failed(redis_client, rid)


@pytest.mark.usefixtures("worker")
def test_ids_without_a_job_and_names_that_are_no_plugin_are_passed_over(
    redis_client: redis.Redis, session: Session
) -> None:
    redis_client.rpush(keys.lane_list(LANE), *(new_request_id() for _ in range(500)), b"\xff\x00")
    redis_client.sadd(keys.ready("llm"), b"\xfe:odd:", "acme", "", "x" * 10_000)
    redis_client.sadd(keys.QUEUES, keys.lane_list(LANE))
    assert list(session.model.llm.invoke(ECHO, user("still there")))


def test_a_stock_rq_worker_fails_our_jobs_with_a_sentence(redis_client: redis.Redis) -> None:
    rid = new_request_id()
    plant(redis_client, with_envelope()(rid), rid)
    stock = SimpleWorker([LANE], connection=redis_client, serializer=OrjsonSerializer)
    stock.work(burst=True)
    for name in ("rq.worker", "rq.job"):  # RQ sets them up for the whole process
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).setLevel(logging.NOTSET)
    assert "Run `invokeq worker`" in why_failed(redis_client, rid)
    for key in redis_client.keys(f"{RQ_KEY_PREFIX}:*"):  # RQ keeps some of its own for ever
        redis_client.expire(key, 60)
