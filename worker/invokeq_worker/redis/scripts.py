"""The worker's Lua scripts as typed functions that return commands, and their replies as tuples."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from rq.defaults import RQ_KEY_PREFIX

from invokeq.protocol.redis import keys
from invokeq.protocol.redis.resp import Command, Reply
from invokeq.transport.connection import RedisConnection
from invokeq_worker.redis.script import NoGroup, Script, exchange_scripts

EXECUTION_TTL: Final = 86_400
"""Lifetime of RQ's record of an execution, in seconds; only leases show whether a run is alive."""


class ClaimKeys(NamedTuple):
    suspended: str
    worker_key: str
    executions: str
    leases: str


class ClaimQueueKeys(NamedTuple):
    ready: str
    wakeup: str
    schedule: str


class ClaimArgs(NamedTuple):
    prefix: str
    worker: str
    capacity: int
    execution_prefix: str
    execution_ttl: int


class QueueArgs(NamedTuple):
    queue: str


class FinishKeys(NamedTuple):
    worker_key: str
    executions: str


class FinishArgs(NamedTuple):
    prefix: str
    worker: str


class FinishJobKeys(NamedTuple):
    job: str
    wip: str
    registry: str


class FinishJobArgs(NamedTuple):
    id: str
    execution: str
    status: str
    result_type: str
    started: float
    ended: float
    ended_iso: str
    ttl: int
    exception: bytes
    exception_b64: bytes


class RequeueKeys(NamedTuple):
    job: str
    wip: str
    lane_list: str
    executions: str
    ready: str
    wakeup: str


class RequeueArgs(NamedTuple):
    prefix: str
    id: str
    execution: str
    plugin: str
    ttl: int


class HeartbeatKeys(NamedTuple):
    leases: str
    directory: str
    worker_key: str
    suspended: str
    queues: str


class HeartbeatQueueKeys(NamedTuple):
    ready: str
    wakeup: str
    rescan: str


class HeartbeatArgs(NamedTuple):
    prefix: str
    worker: str
    lease_ms: int
    entry: bytes
    now_iso: str
    worker_ttl: int
    state: str


CLAIM: Final = Script("claim", ClaimKeys, ClaimArgs, ClaimQueueKeys, QueueArgs)
FINISH: Final = Script("finish", FinishKeys, FinishArgs, FinishJobKeys, FinishJobArgs)
REQUEUE: Final = Script("requeue", RequeueKeys, RequeueArgs, NoGroup, NoGroup)
HEARTBEAT: Final = Script("heartbeat", HeartbeatKeys, HeartbeatArgs, HeartbeatQueueKeys, QueueArgs)

SCRIPTS: Final[Sequence[Script[Any, Any, Any, Any]]] = (CLAIM, FINISH, REQUEUE, HEARTBEAT)


class Claimed(NamedTuple):
    """One claimed job; `ended` is whether an earlier run of the job has ended.

    `data` holds the plugin's bytes, undecoded; `attempt` counts from 1.
    """

    lane: str
    id: str
    execution: str
    attempt: int
    ended: bool
    data: bytes


class Claim(NamedTuple):
    """The reply to a claim; `left` is whether the lanes hold more work."""

    suspended: bool
    left: bool
    jobs: list[Claimed]


class Beat(NamedTuple):
    """The reply to a heartbeat; `dead` are the workers whose lease has lapsed."""

    server_ms: int
    suspended: bool
    dead: list[str]


class Closing(NamedTuple):
    """How one execution ended, in RQ's terms; times in seconds since the epoch, TTL in seconds."""

    lane: str
    id: str
    execution: str
    registry: str
    status: str
    result_type: str
    started: float
    ended: float
    ended_iso: str
    ttl: int
    exception: bytes
    exception_b64: bytes


async def exchange(
    connection: RedisConnection, commands: Sequence[Command], timeout: float
) -> list[Reply]:
    """Exchange a batch; scripts unknown to the server are loaded and called again.

    One round trip, two after a restart or failover of the server.
    """
    return await exchange_scripts(connection, commands, timeout, SCRIPTS)


def claim(worker: str, *, queues: Sequence[str], capacity: int, execution_prefix: str) -> Command:
    """Return the claim of up to `capacity` jobs; `execution_prefix` must be new for each claim."""
    # The script appends a job's number to the prefix: an old prefix would give an old id again.
    return CLAIM.call(
        ClaimKeys(
            suspended=keys.SUSPENDED,
            worker_key=keys.worker(worker),
            executions=keys.worker_executions(worker),
            leases=keys.LEASES,
        ),
        ClaimArgs(
            prefix=RQ_KEY_PREFIX,
            worker=worker,
            capacity=capacity,
            execution_prefix=execution_prefix,
            execution_ttl=EXECUTION_TTL,
        ),
        [
            (
                ClaimQueueKeys(
                    ready=keys.ready(queue),
                    wakeup=keys.wakeup(queue),
                    schedule=keys.schedule(queue),
                ),
                QueueArgs(queue=queue),
            )
            for queue in queues
        ],
    )


def parse_claim(reply: Reply) -> Claim:
    """Return the reply to `claim` as a tuple of names."""
    suspended, left, jobs = reply
    return Claim(
        suspended=bool(suspended),
        left=bool(left),
        jobs=[
            Claimed(lane.decode(), job.decode(), execution.decode(), attempt, bool(ended), data)
            for lane, job, execution, attempt, ended, data in jobs
        ],
    )


def heartbeat(
    worker: str,
    *,
    queues: Sequence[str],
    lease_ms: int,
    entry: bytes,
    now_iso: str,
    worker_ttl: int,
    state: str,
) -> Command:
    """Return one heartbeat; `entry` is the directory entry, `worker_ttl` is in seconds."""
    # The script reads the time of the server, so that clocks of workers need not agree on leases.
    return HEARTBEAT.call(
        HeartbeatKeys(
            leases=keys.LEASES,
            directory=keys.DIRECTORY,
            worker_key=keys.worker(worker),
            suspended=keys.SUSPENDED,
            queues=keys.QUEUES,
        ),
        HeartbeatArgs(
            prefix=RQ_KEY_PREFIX,
            worker=worker,
            lease_ms=lease_ms,
            entry=entry,
            now_iso=now_iso,
            worker_ttl=worker_ttl,
            state=state,
        ),
        [
            (
                HeartbeatQueueKeys(
                    ready=keys.ready(queue), wakeup=keys.wakeup(queue), rescan=keys.rescan(queue)
                ),
                QueueArgs(queue=queue),
            )
            for queue in queues
        ],
    )


def parse_heartbeat(reply: Reply) -> Beat:
    """Return the reply to `heartbeat` as a tuple of names."""
    server_ms, suspended, dead = reply
    return Beat(server_ms, bool(suspended), [name.decode() for name in dead])


def finish(worker: str, closings: Sequence[Closing]) -> Command:
    """Return the finalizing of RQ's records of executions; the reply is the finalized number."""
    return FINISH.call(
        FinishKeys(worker_key=keys.worker(worker), executions=keys.worker_executions(worker)),
        FinishArgs(prefix=RQ_KEY_PREFIX, worker=worker),
        [
            (
                FinishJobKeys(
                    job=keys.job(closing.id),
                    wip=keys.registry("wip", closing.lane),
                    registry=keys.registry(closing.registry, closing.lane),
                ),
                FinishJobArgs(
                    id=closing.id,
                    execution=closing.execution,
                    status=closing.status,
                    result_type=closing.result_type,
                    started=closing.started,
                    ended=closing.ended,
                    ended_iso=closing.ended_iso,
                    ttl=closing.ttl,
                    exception=closing.exception,
                    exception_b64=closing.exception_b64,
                ),
            )
            for closing in closings
        ],
    )


def requeue(worker: str, *, lane: str, request_id: str, execution: str, ttl: int) -> Command:
    """Return the requeueing of a claimed job; the reply is 0 after another worker's requeue."""
    # Two reapers may find one dead worker at the same time; the script lets one of the two requeue.
    place = keys.Lane.parse(lane)
    return REQUEUE.call(
        RequeueKeys(
            job=keys.job(request_id),
            wip=keys.registry("wip", lane),
            lane_list=keys.lane_list(lane),
            executions=keys.worker_executions(worker),
            ready=keys.ready(place.queue),
            wakeup=keys.wakeup(place.queue),
        ),
        RequeueArgs(
            prefix=RQ_KEY_PREFIX,
            id=request_id,
            execution=execution,
            plugin=place.plugin,
            ttl=ttl,
        ),
    )
