"""Operators' view of failed vendor calls, and of foreign data in Redis."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from invokeq import AsyncSession, Session, VendorRetry
from invokeq.protocol.redis import keys
from tests.integration.calls.test_retries import BUSY, GOOD, QUICK, model, refusal, worker_of
from tests.integration.conftest import user
from tests.support.processes.worker import WorkerProcess
from tests.support.vendors.openai_vendor import chat, vendor_server
from tests.support.vendors.recorded import Recorded

BOUND = 60.0


@pytest.fixture
def vendor() -> Iterator[Recorded]:
    with vendor_server() as server:
        yield server


def command(url: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "invokeq.cli", *words],
        env={**os.environ, "INVOKEQ_REDIS_URL": url},
        capture_output=True,
        text=True,
        timeout=BOUND,
        check=False,
    )


@pytest.fixture
def answered(redis_url: str, tmp_path: Path, session: Session, vendor: Recorded) -> Iterator[str]:
    """The id of an invocation with two failures of the vendor before the answer."""
    vendor.answer(BUSY, refusal(0.01), GOOD)
    with worker_of(redis_url, tmp_path, vendor, QUICK):
        invocation = session.model.llm.submit(model(), user("x"))
        invocation.result()
        yield invocation.request_id


def test_attach_tells_failed_calls_in_json(redis_url: str, answered: str) -> None:
    """Fails without a listener: `attach` without `on_retry` was tried."""
    done = command(redis_url, "attach", answered, "--json")
    lines: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    retries = [line["retry"] for line in lines if line.keys() == {"retry"}]
    assert [retry["id"] for retry in retries] == ["1-1", "1-2"]
    assert [retry["call"] for retry in retries] == [1, 2]
    codes = [retry["error"]["code"] for retry in retries]
    assert codes == ["provider_unavailable", "rate_limited"]
    assert {retry["model"] for retry in retries} == {retry["next"] for retry in retries}
    assert retries[1]["wait"] >= 0.01
    assert lines[:2] == [{"retry": retry} for retry in retries]
    words = [line["delta"]["message"]["content"] for line in lines[2:]]
    assert "".join(words) == "all good"
    assert "retry" not in done.stderr


def test_attach_tells_failed_calls_on_stderr(redis_url: str, answered: str) -> None:
    done = command(redis_url, "attach", answered)
    assert done.stdout == "all good\n"
    first, second, *rest = done.stderr.splitlines()
    assert first.startswith("retry: call 1 of openai/m: ")
    assert "busy" in first
    assert "; next: openai/m after 0.0" in first
    assert second.startswith("retry: call 2 of openai/m: ")
    assert len(rest) == 1
    later = command(redis_url, "attach", answered, "--after", "1-1")
    assert later.stderr.startswith("retry: call 2 of openai/m: ")


def test_status_counts_them_and_shows_the_last(redis_url: str, answered: str) -> None:
    printed = command(redis_url, "status", answered).stdout
    assert "\nretries:     2\nlast retry:  call 2 of openai/m: " in printed
    found = json.loads(command(redis_url, "status", answered, "--json").stdout)
    assert (found["state"], found["retries"], found["last_retry"]["call"]) == ("done", 2, 2)


def test_status_says_nothing_of_retries_where_there_were_none(
    redis_url: str, session: Session, worker: WorkerProcess
) -> None:
    assert worker.process.poll() is None
    config = {"provider": "scripted", "model": "echo", "mode": "chat"}
    invocation = session.model.llm.submit(config, user("x"))
    invocation.result()
    assert "retr" not in command(redis_url, "status", invocation.request_id).stdout
    found = json.loads(command(redis_url, "status", invocation.request_id, "--json").stdout)
    assert (found["retries"], found["last_retry"]) == (0, None)


async def test_callers_may_listen_too(redis_url: str, answered: str) -> None:
    told: list[VendorRetry] = []
    with Session("acme", redis=redis_url) as session:
        invocation = session.attach(answered)
        invocation.on_retry(told.append)
        assert invocation.result().message.content == "all good"
    async with AsyncSession("acme", redis=redis_url) as other:
        again = other.attach(answered)
        again.on_retry(told.append)
        await again.result()
    assert [retry.call for retry in told] == [1, 2, 1, 2]
    assert "busy" in told[0].problem


def test_failed_calls_are_told_while_the_next_one_is_awaited(
    redis_url: str, tmp_path: Path, session: Session, vendor: Recorded
) -> None:
    vendor.answer(BUSY, chat(end="hang"))
    with worker_of(redis_url, tmp_path, vendor, QUICK):
        invocation = session.model.llm.submit(model(), user("x"), detached=True)
        process = subprocess.Popen(
            [sys.executable, "-m", "invokeq.cli", "attach", invocation.request_id, "--json"],
            env={**os.environ, "INVOKEQ_REDIS_URL": redis_url},
            stdout=subprocess.PIPE,
        )
        try:
            assert process.stdout is not None
            assert json.loads(process.stdout.readline())["retry"]["call"] == 1
            assert process.poll() is None
        finally:
            process.kill()
            process.communicate()
        assert invocation.cancel()


def test_status_bears_what_is_no_text(redis_url: str, redis_client: redis.Redis) -> None:
    """Fails with a UnicodeDecodeError when the names of lanes are decoded strictly: tried; the
    same for ids, and a ValueError for times."""
    lane, request_id = "llm:acme", "ab" * 16
    redis_client.sadd(keys.QUEUES, keys.lane_list("llm:\udcff").encode(errors="surrogateescape"))
    redis_client.sadd(keys.QUEUES, keys.lane_list(lane), b"\xfe\xff")
    redis_client.rpush(keys.lane_list(lane), b"\xff\xfe", request_id)
    redis_client.zadd(keys.registry("wip", lane), {b"\xff:1": 1, f"{request_id}:1".encode(): 2})
    odd = {"status": "started", "origin": b"\xff", "attempt": "x", "started_at": b"\xff yesterday"}
    redis_client.hset(keys.job(request_id), mapping=odd)  # type: ignore[arg-type]
    redis_client.expire(keys.job(request_id), 60)
    done = command(redis_url, "status", "--all")
    assert (done.returncode, done.stderr) == (0, "")
    assert "llm:\ufffd" in done.stdout
    found = json.loads(command(redis_url, "status", "--json").stdout)
    assert sorted(view["name"] for view in found["lanes"]) == [lane, "llm:\ufffd", "\ufffd\ufffd"]
    assert found["running"][0]["attempt"] == 0
    assert found["running"][0]["since"] is None
