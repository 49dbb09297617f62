"""RQ's own command line and API see and steer our worker as one of theirs."""

import subprocess
import sys
from pathlib import Path

import pytest
import redis
from rq import Queue, Worker
from rq import command as rq_command
from rq.job import Job, JobStatus
from rq.registry import CanceledJobRegistry, FinishedJobRegistry

from invokeq import Session
from invokeq.errors import InvocationCancelledError, ProviderUnavailableError, StreamExpiredError
from invokeq.protocol.codec import OrjsonSerializer
from invokeq.protocol.redis import keys
from tests.integration.conftest import stream_config, user
from tests.support.processes.worker import WorkerProcess
from tests.support.servers.clients import rq_url
from tests.support.waiting import eventually

LANE = "llm:acme"
SERIALIZER = "invokeq.protocol.codec.OrjsonSerializer"


def rq_cli(url: str, *words: str) -> str:
    """Run RQ's command as an operator would; gives what it printed."""
    command = [str(Path(sys.executable).parent / "rq"), words[0], "-u", rq_url(url), *words[1:]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def fetch(client: redis.Redis, request_id: str) -> Job:
    return Job.fetch(request_id, connection=client, serializer=OrjsonSerializer)


def lane(client: redis.Redis) -> Queue:
    return Queue(LANE, connection=client, serializer=OrjsonSerializer)


def test_info_agrees_with_what_ran(
    redis_url: str, redis_client: redis.Redis, worker: WorkerProcess, session: Session
) -> None:
    for _ in range(3):
        list(session.model.llm.invoke(stream_config(chunks=1), user("x")))
    with pytest.raises(ProviderUnavailableError):
        list(session.model.llm.invoke(stream_config(fail_after=0), user("x")))
    eventually("books are closed", lambda: lane(redis_client).failed_job_registry.count == 1)
    printed = rq_cli(redis_url, "info")
    assert f"{LANE}     | 0, 0 executing, 3 finished, 1 failed" in printed
    assert f"{worker.name} (" in printed
    assert "jobs: 3 finished, 1 failed" in printed
    assert "1 workers" in printed
    by_lane = rq_cli(redis_url, "info", "--by-queue", "--raw", LANE)
    assert worker.name in by_lane


def test_a_running_job_is_in_rqs_books(
    redis_client: redis.Redis, worker: WorkerProcess, session: Session
) -> None:
    invocation = session.model.llm.submit(stream_config(hang_after=1, chunks=2), user("x"))
    invocation_items = iter(invocation)
    next(invocation_items)
    job = fetch(redis_client, invocation.request_id)
    assert job.get_status() == JobStatus.STARTED
    assert job.worker_name == worker.name
    assert job.origin == LANE
    assert job.func_name == "invokeq_worker.entry.execute"
    assert job.timeout == -1
    assert lane(redis_client).started_job_registry.get_job_ids() == [invocation.request_id]
    (found,) = Worker.all(connection=redis_client)
    assert found.get_state() == "busy"
    (execution,) = found.get_current_executions()
    assert execution.job_id == invocation.request_id
    assert [e.id for e in job.get_executions()] == [execution.id]
    invocation.close()
    eventually("not started any more", lambda: lane(redis_client).started_job_registry.count == 0)
    assert fetch(redis_client, invocation.request_id).get_status() == JobStatus.CANCELED
    assert invocation.request_id in CanceledJobRegistry(LANE, redis_client)


def test_a_finished_job_has_its_result(
    redis_client: redis.Redis, worker: WorkerProcess, session: Session
) -> None:
    invocation = session.model.llm.submit(stream_config(chunks=1), user("x"), detached=True)
    list(invocation)
    rid = invocation.request_id
    eventually("finished", lambda: rid in FinishedJobRegistry(LANE, redis_client))
    job = fetch(redis_client, rid)
    assert job.get_status() == JobStatus.FINISHED
    assert job.ended_at is not None
    assert job.started_at is not None
    result = job.latest_result()
    assert result is not None
    assert result.type == result.Type.SUCCESSFUL
    assert result.worker_name == worker.name
    assert job.get_executions() == []


@pytest.mark.usefixtures("worker")
def test_suspend_and_resume(redis_url: str, redis_client: redis.Redis, session: Session) -> None:
    list(session.model.llm.invoke(stream_config(chunks=1), user("x")))
    rq_cli(redis_url, "suspend")
    waiting = session.model.llm.submit(stream_config(chunks=1), user("x"), detached=True)
    # The worker was woken, found itself suspended and left the job: the bell has been answered.
    eventually("bell answered", lambda: not redis_client.exists(keys.wakeup("llm")))
    assert waiting.status().state == "queued"
    rq_cli(redis_url, "resume")
    assert list(waiting)


@pytest.mark.usefixtures("worker")
def test_requeue_runs_a_failed_job_again(
    redis_url: str, redis_client: redis.Redis, session: Session
) -> None:
    invocation = session.model.llm.submit(stream_config(fail_after=2), user("x"), detached=True)
    with pytest.raises(ProviderUnavailableError):
        list(invocation)
    rid = invocation.request_id
    eventually("failed", lambda: rid in lane(redis_client).failed_job_registry)
    result = fetch(redis_client, rid).latest_result()
    assert result is not None
    assert "ProviderUnavailableError" in str(result.exc_string)
    rq_cli(redis_url, "requeue", "--queue", LANE, "-S", SERIALIZER, rid)
    eventually("ran again", lambda: invocation.status().attempt == 2)
    eventually("failed again", lambda: rid in lane(redis_client).failed_job_registry)
    again = session.attach(rid)
    chunks: list[object] = []
    with pytest.raises(ProviderUnavailableError) as caught:
        chunks.extend(again)
    assert len(chunks) == 2
    assert caught.value.attempt == 2
    assert again.last_id.startswith("2-")


def test_stop_job_command(
    redis_client: redis.Redis, worker: WorkerProcess, session: Session
) -> None:
    invocation = session.model.llm.submit(stream_config(chunks=100_000, rate=100), user("x"))
    other = session.model.llm.submit(stream_config(hang_after=1), user("x"))
    invocation_items = iter(invocation)
    next(invocation_items)
    other_items = iter(other)
    next(other_items)
    rq_command.send_stop_job_command(
        redis_client, invocation.request_id, serializer=OrjsonSerializer
    )
    with pytest.raises(InvocationCancelledError) as caught:
        list(invocation)
    assert caught.value.reason == "operator"
    rid = invocation.request_id
    eventually("closed", lambda: "closed" in worker.vendor_events(rid))
    eventually("stopped", lambda: fetch(redis_client, rid).get_status() == JobStatus.STOPPED)
    assert rid in lane(redis_client).failed_job_registry
    assert other.status().state == "running"
    other.close()


def test_shutdown_command(
    redis_client: redis.Redis, worker: WorkerProcess, session: Session
) -> None:
    rq_command.send_shutdown_command(redis_client, worker.name)
    assert worker.process.wait(20) == 0
    assert Worker.all(connection=redis_client) == []
    assert session.workers() == ()


@pytest.mark.usefixtures("worker")
def test_emptying_one_lane_tells_its_readers_and_spares_the_others(
    redis_url: str, redis_client: redis.Redis, session: Session
) -> None:
    rq_cli(redis_url, "suspend")
    mine = session.model.llm.submit(stream_config(chunks=1), user("x"))
    with Session("other", redis=redis_url) as second:
        theirs = second.model.llm.submit(stream_config(chunks=1), user("x"))
        rq_cli(redis_url, "empty", LANE, "-S", SERIALIZER)
        with pytest.raises(StreamExpiredError):
            list(mine)
        rq_cli(redis_url, "resume")
        assert list(theirs)


@pytest.mark.usefixtures("worker")
def test_cancelling_by_rqs_api(redis_url: str, redis_client: redis.Redis, session: Session) -> None:
    rq_cli(redis_url, "suspend")
    invocation = session.model.llm.submit(stream_config(chunks=1), user("x"))
    fetch(redis_client, invocation.request_id).cancel()
    with pytest.raises(InvocationCancelledError) as caught:
        list(invocation)
    assert caught.value.reason == "operator"
    rq_cli(redis_url, "resume")
