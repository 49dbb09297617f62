"""Redis users made by `invokeq acl`: what each role can do, and that it can do nothing else.

Checked to fail with a wider rule, `(~rq:* +rpush +lrem)`, and with a narrower one, without `+lpos`.
"""

import io
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.exceptions import NoPermissionError
from rq import Queue
from rq.command import send_shutdown_command
from rq.job import Job
from rq.registry import FailedJobRegistry

from invokeq import Session
from invokeq.errors import (
    InvocationCancelledError,
    PermissionDeniedError,
    ProviderUnavailableError,
)
from invokeq.protocol.codec import OrjsonSerializer
from invokeq.protocol.entities import LLMModelConfig
from invokeq.protocol.errors import ProtocolError, QueueFullError, WorkerLostError
from invokeq.protocol.redis import keys
from invokeq.protocol.requests import new_request_id
from invokeq_worker.commands.acl import Role, acl_rules, set_user, user_name
from tests.integration.conftest import stream_config, user
from tests.support.processes.worker import WorkerProcess, running_worker
from tests.support.servers.clients import connect, rq_url
from tests.support.servers.server import Server
from tests.support.waiting import eventually

PASSWORD = "not a secret: only in tests"
QUEUES = ("llm", "text-embedding", "rerank", "tts", "speech2text", "moderation")
ECHO = LLMModelConfig(provider="scripted", model="echo", mode="chat")
OTHER = "f" * 32

READ_ONLY = [
    ("ZADD", keys.LEASES, 0, "w1"),
    ("ZREM", keys.LEASES, "w1"),
    ("DEL", keys.LEASES),
    ("SET", keys.LEASES, "x"),
    ("EXPIRE", keys.LEASES, 1),
    ("HSET", keys.DIRECTORY, "w1", "{}"),
    ("EXPIRE", keys.DIRECTORY, 1),
    ("SET", keys.catalog("x"), "{}"),
    ("HSET", keys.ready("llm"), "a", "b"),
    ("SET", keys.QUEUES, "x"),
    ("SET", keys.lane_list("llm:acme"), "x"),
    ("SET", keys.job(OTHER), "x"),
    ("HGETALL", keys.job(OTHER)),
    ("XADD", keys.wakeup("llm"), "*", "a", "b"),
    ("SET", keys.events(OTHER), "x"),
    ("GET", keys.body_part(OTHER, 0)),
]
"""What Redis 6.2 cannot refuse, since it does not tie commands to keys."""

FORBIDDEN = [
    *(("RPUSH", keys.lane_list(f"llm:{name}"), OTHER) for name in ("victim", "xacme", "acme2")),
    ("RPUSH", keys.lane_list("llm"), OTHER),
    ("LREM", keys.lane_list("llm:victim"), 0, OTHER),
    ("LRANGE", keys.lane_list("llm:acme"), 0, -1),
    ("LPOP", keys.lane_list("llm:victim")),
    ("LRANGE", keys.wakeup("llm"), 0, -1),
    ("DEL", keys.wakeup("llm")),
    ("SMEMBERS", keys.ready("llm")),
    ("SMEMBERS", keys.QUEUES),
    ("SREM", keys.QUEUES, "x"),
    ("DEL", keys.QUEUES),
    ("ZADD", keys.schedule("llm"), 0, "llm:acme"),
    ("ZADD", keys.registry("wip", "llm:acme"), 0, OTHER),
    ("ZRANGE", keys.registry("wip", "llm:acme"), 0, -1),
    ("ZRANGE", keys.registry("canceled", "llm:victim"), 0, -1),
    ("ZADD", keys.registry("canceled", "llm:victim"), 0, OTHER),
    ("HDEL", keys.job(OTHER), "data"),
    ("DEL", keys.job(OTHER)),
    ("DEL", keys.events(OTHER)),
    ("XTRIM", keys.events(OTHER), "MAXLEN", 0),
    ("SET", keys.SUSPENDED, 1),
    ("EXISTS", keys.SUSPENDED),
    ("SMEMBERS", keys.WORKERS),
    ("HSET", keys.worker("w1"), "state", "x"),
    ("SMEMBERS", keys.worker_executions("w1")),
    ("HSET", keys.execution(OTHER, "x"), "lane", "llm:acme"),
    ("SET", keys.reaping("w1"), "x"),
    ("GET", keys.plugin_session("x")),
    ("SET", keys.plugin_session("x"), "{}"),
    ("PUBLISH", keys.worker_channel("w1"), '{"command": "shutdown"}'),
    ("PUBLISH", "elsewhere", "x"),
    ("SUBSCRIBE", keys.CANCEL_CHANNEL),
    ("PSUBSCRIBE", "*"),
    ("PUBSUB", "CHANNELS"),
    ("SCAN", 0),
    ("KEYS", "*"),
    ("RANDOMKEY",),
    ("DBSIZE",),
    ("EVAL", "return 1", 0),
    ("EVALSHA", "0" * 40, 0),
    ("SCRIPT", "LOAD", "return 1"),
    ("SCRIPT", "FLUSH"),
    ("CONFIG", "GET", "*"),
    ("CONFIG", "SET", "maxmemory", 1),
    ("ACL", "LIST"),
    ("ACL", "SETUSER", "plugin-acme", "+@all"),
    ("CLIENT", "LIST"),
    ("CLIENT", "KILL", "TYPE", "normal"),
    ("FLUSHALL",),
    ("FLUSHDB",),
    ("SHUTDOWN",),
    ("MONITOR",),
    ("INFO",),
    ("SAVE",),
    ("REPLICAOF", "NO", "ONE"),
    ("MIGRATE", "127.0.0.1", 1, "x", 0, 1),
    ("SLOWLOG", "GET"),
    ("GET", "elsewhere"),
    ("SET", "elsewhere", "x"),
    ("RENAME", keys.job(OTHER), "x"),
    ("COPY", keys.events(OTHER), "x"),
]


@dataclass(frozen=True, slots=True)
class Users:
    """Makes users on one server, and tells what they were refused."""

    server: Server
    admin: redis.Redis

    @property
    def selectors(self) -> bool:
        return not self.server.version.startswith("Redis 6.2")

    def url(self, role: Role, name: str | None = None) -> str:
        """Make the user of a role and give the address with its password."""
        rules = acl_rules(role, name, selectors=self.selectors)
        user = user_name(role, name)
        self.admin.execute_command(set_user(user, PASSWORD, rules))
        secret = PASSWORD.replace(" ", "%20").replace(":", "%3A")
        return self.server.url.replace("://", f"://{user}:{secret}@")

    def refused(self) -> list[str]:
        """What users were refused so far, as `user: object`."""
        log: Any = self.admin.acl_log(128)
        return [f"{entry['username']}: {entry['object']}" for entry in log]


@pytest.fixture
def users(redis_server: Server, redis_client: redis.Redis) -> Iterator[Users]:
    redis_client.execute_command("ACL", "LOG", "RESET")
    yield Users(redis_server, redis_client)
    for name in redis_client.acl_users():
        text = name.decode() if isinstance(name, bytes) else name
        if text != "default":
            redis_client.acl_deluser(text)


@pytest.fixture
def confined(users: Users, redis_url: str, tmp_path: Path) -> Iterator[WorkerProcess]:
    """A worker for all kinds of call, as the worker's user."""
    with running_worker(
        redis_url,
        tmp_path,
        queues=QUEUES,
        summary_model="scripted/echo",
        env={"INVOKEQ_REDIS_URL": users.url("worker")},
    ) as worker:
        yield worker


@pytest.fixture
def acme(users: Users) -> Iterator[Session]:
    with Session("acme", "t1", "u1", redis=users.url("plugin", "acme")) as session:
        yield session


def use_everything(session: Session) -> None:
    """Make every kind of call, and everything else that a session can do."""
    model = session.model
    assert list(model.llm.invoke(ECHO, user("hello")))
    assert model.llm.invoke(ECHO, user("x" * 100_000), stream=False).message.content
    vectors = model.text_embedding.invoke({"provider": "scripted", "model": "hash"}, ["one", "two"])
    assert len(vectors.embeddings) == 2
    assert model.rerank.invoke({"provider": "scripted", "model": "overlap"}, ["a", "b"], "a").docs
    voice = {"provider": "scripted", "model": "silence", "voice": "ann"}
    audio = b"".join(model.tts.invoke(voice, "One fish."))
    hearing = {"provider": "scripted", "model": "tags"}
    assert model.speech2text.invoke(hearing, io.BytesIO(audio))
    words = {"provider": "scripted", "model": "words"}
    assert model.moderation.invoke(words, "fine") is False
    assert model.summary.invoke("A long text. " * 50, "shorter")
    queued = model.llm.submit(stream_config(chunks=1), user("x"), request_id=new_request_id())
    assert queued.result()
    running = model.llm.submit(stream_config(hang_after=1), user("x"))
    items = iter(running)
    next(items)
    assert running.status().state == "running"
    assert running.cancel()
    with pytest.raises(InvocationCancelledError):
        list(items)
    with pytest.raises(InvocationCancelledError):
        list(session.attach(running.request_id))
    detached = model.llm.submit(stream_config(chunks=1), user("x"))
    detached.detach()
    assert list(session.attach(detached.request_id, after="1-0"))
    assert session.workers()


def test_a_plugin_can_do_all_it_needs(acme: Session, confined: WorkerProcess, users: Users) -> None:
    use_everything(acme)
    assert confined.stop() == 0
    assert users.refused() == []


@pytest.mark.usefixtures("confined")
def test_a_plugin_can_cancel_what_waits(
    acme: Session, users: Users, redis_client: redis.Redis
) -> None:
    redis_client.set(keys.SUSPENDED, 1, ex=60)
    waiting = acme.model.llm.submit(ECHO, user("x"))
    assert waiting.status().position == 0
    assert waiting.cancel()
    with pytest.raises(InvocationCancelledError):
        list(waiting)
    redis_client.delete(keys.SUSPENDED)
    assert users.refused() == []


@pytest.mark.usefixtures("confined")
def test_a_plugin_can_submit_the_same_request_twice(acme: Session, users: Users) -> None:
    submit = acme.model.llm.submit
    first = submit(stream_config(chunks=200, rate=100), user("x"), request_id="ab" * 16)
    second = submit(stream_config(chunks=200, rate=100), user("x"), request_id="ab" * 16)
    assert len(list(second)) == len(list(first)) == 201
    assert users.refused() == []


@pytest.mark.usefixtures("confined")
def test_a_plugin_can_be_refused_for_a_full_lane(
    acme: Session, users: Users, redis_client: redis.Redis
) -> None:
    redis_client.set(keys.SUSPENDED, 1, ex=60)
    (live,) = acme.workers()
    redis_client.rpush(keys.lane_list("llm:acme"), *["x"] * live.bounds.lane)
    with pytest.raises(QueueFullError):
        acme.model.llm.submit(ECHO, user("x"))
    redis_client.delete(keys.SUSPENDED, keys.lane_list("llm:acme"))
    assert users.refused() == []


def test_a_plugin_can_do_nothing_else(users: Users, redis_client: redis.Redis) -> None:
    tries = [*FORBIDDEN, *(READ_ONLY if users.selectors else [])]
    if users.selectors:
        tries += [("FUNCTION", "LIST"), ("FCALL", "f", 0)]
    url = users.url("plugin", "acme")
    done: list[str] = []
    with connect(url) as plugin:
        for words in tries:
            try:
                plugin.execute_command(*words)
            except NoPermissionError:
                continue
            done.append(" ".join(map(str, words)))
    assert done == []
    assert redis_client.dbsize() == 0


def test_on_redis_6_2_the_rules_are_wider_and_still_name_the_lane() -> None:
    rules = acl_rules("plugin", "acme", selectors=False)
    assert not [rule for rule in rules if "(" in rule or "%" in rule]
    assert f"~{keys.lane_list('*:acme')}" in rules
    assert not {"~*", "+@all", "allkeys", "allcommands", "+eval", "+scan", "+subscribe"} & {*rules}


def test_a_session_says_what_it_was_refused(users: Users, redis_url: str, tmp_path: Path) -> None:
    url, theirs = users.url("plugin", "acme"), keys.lane_list("llm:victim")
    with (
        running_worker(redis_url, tmp_path),
        Session("victim", redis=url) as impostor,
        pytest.raises(PermissionDeniedError, match=f"{re.escape(theirs)}|permission"),
    ):
        list(impostor.model.llm.invoke(ECHO, user("x")))


def test_a_plugin_cannot_break_workers_with_what_it_may_write(
    users: Users, redis_url: str, redis_client: redis.Redis, tmp_path: Path, acme: Session
) -> None:
    """Every field that a plugin can write, in a form that nobody expects."""
    odd_lane = keys.lane_list("llm:x").encode() + b"\xff:acme"
    job_key = keys.job("").encode()
    ids = [new_request_id() for _ in range(3)]
    hang = stream_config(hang_after=0)
    with running_worker(redis_url, tmp_path, name="first") as first:
        running = acme.model.llm.submit(hang, user("x"), detached=True)
        eventually("it runs", lambda: "started" in first.vendor_events(running.request_id))
        with connect(users.url("plugin", "acme")) as plugin:
            tampered: dict[Any, Any] = {
                "origin": "llm:victim",
                "attempt": "x",
                "data": b"\xff",
                "ended": b"\xff",
            }
            plugin.hset(keys.job(running.request_id), mapping=tampered)
            plugin.xadd(keys.events(running.request_id), {"k": b"\xff", "z": "1"}, id="1-500")
            plugin.sadd(keys.QUEUES, b"\xff", odd_lane)
            jobs: list[bytes] = [b"\xff", *(rid.encode() for rid in ids)]
            for job in jobs:
                odd: dict[Any, Any] = {"data": b"\xff", "status": "queued", "attempt": "1e300"}
                plugin.hset(job_key + job, mapping={**odd, "ended": b"\xff"})
                plugin.expire(job_key + job, 60)
            plugin.rpush(odd_lane, *jobs)
            plugin.rpush(keys.lane_list("llm:acme"), *jobs)
            plugin.sadd(keys.ready("llm"), b"x\xff:acme", "acme", b"\xff")
            plugin.lpush(keys.wakeup("llm"), b"\xff")
        failed = FailedJobRegistry("llm:acme", connection=redis_client, serializer=OrjsonSerializer)
        eventually("they are failed", lambda: set(ids) <= set(failed.get_job_ids()))
        first.process.kill()
    with running_worker(redis_url, tmp_path, name="second") as second:
        eventually(
            "it is settled", lambda: redis_client.zscore(keys.LEASES, "first") is None, within=20
        )
        assert list(acme.model.llm.invoke(ECHO, user("still there")))
        assert second.process.poll() is None
    assert redis_client.exists(keys.lane_list("llm:victim")) == 0
    assert second.vendor_events(running.request_id) == []
    with pytest.raises((ProtocolError, WorkerLostError)):
        list(acme.attach(running.request_id))
    redis_client.delete(odd_lane, job_key + b"\xff")


@pytest.mark.usefixtures("confined")
def test_a_gateway_can_do_what_a_plugin_can_and_keep_sessions(users: Users) -> None:
    url = users.url("gateway", "front")
    with Session("front", redis=url) as session:
        use_everything(session)
    assert users.refused() == []
    with connect(url) as gateway:
        gateway.set(keys.plugin_session("x"), "{}", ex=60)
        assert gateway.get(keys.plugin_session("x")) == b"{}"
        assert gateway.delete(keys.plugin_session("x")) == 1


def test_a_worker_settles_a_dead_one_and_can_do_nothing_else(
    users: Users, redis_url: str, tmp_path: Path, acme: Session
) -> None:
    url = users.url("worker")
    env = {"INVOKEQ_REDIS_URL": url}
    with (
        running_worker(redis_url, tmp_path, name="victim", env=env) as victim,
        running_worker(redis_url, tmp_path, name="heir", env=env) as heir,
    ):
        running = acme.model.llm.submit(stream_config(hang_after=1), user("x"))
        items = iter(running)
        next(items)
        ran_on = victim if victim.vendor_events(running.request_id) else heir
        ran_on.process.kill()
        with pytest.raises(WorkerLostError):
            list(items)
    assert users.refused() == []
    tries = [
        *(("GET", "elsewhere"), ("KEYS", "*"), ("SCAN", 0), ("CONFIG", "GET", "*"), ("FLUSHALL",)),
        *(("EVAL", "return 1", 0), ("ACL", "LIST"), ("SHUTDOWN",), ("CLIENT", "LIST")),
        *(("PUBLISH", keys.CANCEL_CHANNEL, "x"), ("SUBSCRIBE", "elsewhere")),
    ]
    with connect(url) as worker:
        for words in tries:
            with pytest.raises(NoPermissionError):
                worker.execute_command(*words)


def test_an_operator_can_use_rqs_tools_and_ours(
    users: Users, redis_url: str, tmp_path: Path
) -> None:
    url = users.url("operator")
    rq = [str(Path(sys.executable).parent / "rq")]
    lane = "llm:acme"
    serializer = ("-S", "invokeq.protocol.codec.OrjsonSerializer")
    with (
        running_worker(redis_url, tmp_path) as worker,
        connect(url) as operator,
        Session("acme", redis=url) as session,
    ):
        broken = session.model.llm.submit(stream_config(fail_after=1, chunks=3), user("x"))
        with pytest.raises(ProviderUnavailableError):
            broken.result()
        failed = FailedJobRegistry(lane, connection=operator, serializer=OrjsonSerializer)
        eventually("it is failed", lambda: broken.request_id in failed.get_job_ids())
        job = Job.fetch(broken.request_id, connection=operator, serializer=OrjsonSerializer)
        assert job.origin == lane
        for words in (
            ["info", "-u", rq_url(url)],
            ["requeue", "-u", rq_url(url), *serializer, "--queue", lane, "--all"],
            ["suspend", "-u", rq_url(url)],
            ["resume", "-u", rq_url(url)],
            ["empty", "-u", rq_url(url), *serializer, lane],
        ):
            done = subprocess.run([*rq, *words], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
        status = [sys.executable, "-m", "invokeq.cli", "status", "--redis", url]
        subprocess.run(status, check=True, capture_output=True)
        assert Queue(lane, connection=operator, serializer=OrjsonSerializer).count >= 0
        send_shutdown_command(operator, worker.name)
        assert worker.process.wait(20) == 0
        for words in (("KEYS", "*"), ("SCAN", 0), ("FLUSHALL",), ("CONFIG", "GET", "*")):
            with pytest.raises(NoPermissionError):
                operator.execute_command(*words)


def test_the_command_prints_rules_without_the_password(users: Users) -> None:
    command = [sys.executable, "-m", "invokeq.cli", "acl", "plugin", "acme", "--password-stdin"]
    done = subprocess.run(command, input="a canary", capture_output=True, text=True, check=True)
    assert "canary" not in done.stdout
    if users.selectors:
        users.admin.execute_command(done.stdout.strip())
        url = users.server.url.replace("://", "://plugin-acme:a%20canary@")
        with connect(url) as plugin:
            assert plugin.ping()


def test_without_a_password_the_rules_cannot_be_used_as_they_are(users: Users) -> None:
    with pytest.raises(redis.ResponseError):
        users.admin.execute_command(set_user("someone", None, acl_rules("plugin", "acme")))
