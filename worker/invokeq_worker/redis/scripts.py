"""The Lua scripts as typed functions that give commands; the files in `lua/` hold the key tables.

Each function gives one EVALSHA. A server that does not know a script (restarted, failed over)
answers NOSCRIPT; `exchange` then loads all of them and sends the refused commands again.
"""

import hashlib
from collections.abc import Sequence
from importlib import resources
from typing import Final, NamedTuple

from redis.exceptions import NoScriptError
from rq.defaults import RQ_KEY_PREFIX

from invokeq.protocol.redis import keys
from invokeq.protocol.redis.resp import Command, Reply
from invokeq.transport.connection import RedisConnection

EXECUTION_TTL: Final = 86_400
"""Seconds that RQ's record of an execution lives; our leases say whether it is alive, not this."""


class Script(NamedTuple):
    source: bytes
    sha: str

    def call(self, script_keys: Sequence[str], *args: str | bytes | int | float) -> Command:
        return ("EVALSHA", self.sha, len(script_keys), *script_keys, *args)


def _load(name: str) -> Script:
    source = resources.files("invokeq_worker.redis").joinpath("lua", f"{name}.lua").read_bytes()
    return Script(source, hashlib.sha1(source, usedforsecurity=False).hexdigest())


CLAIM: Final = _load("claim")
FINISH: Final = _load("finish")
REQUEUE: Final = _load("requeue")
HEARTBEAT: Final = _load("heartbeat")

_ALL: Final = (CLAIM, FINISH, REQUEUE, HEARTBEAT)


class Claimed(NamedTuple):
    """One job as the claim script hands it over; `ended` says whether a run of it ended before."""

    lane: str
    id: str
    execution: str
    attempt: int
    ended: bool
    data: bytes


class Claim(NamedTuple):
    """What one claim gave: whether RQ's workers are suspended, whether work is left, and the
    jobs."""

    suspended: bool
    left: bool
    jobs: list[Claimed]


async def exchange(
    link: RedisConnection, commands: Sequence[Command], timeout: float
) -> list[Reply]:
    """Exchange a batch; scripts that the server has lost are loaded and called again."""
    replies = await link.exchange(commands, timeout)
    lost = [i for i, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
    if lost:
        load: list[Command] = [("SCRIPT", "LOAD", script.source) for script in _ALL]
        again = await link.exchange([*load, *(commands[i] for i in lost)], timeout)
        for i, reply in zip(lost, again[len(load) :], strict=True):
            replies[i] = reply
    return replies


def claim(worker: str, queues: Sequence[str], room: int, execution_prefix: str) -> Command:
    names = [name for q in queues for name in (keys.ready(q), keys.wakeup(q), keys.schedule(q))]
    own = [keys.SUSPENDED, keys.worker(worker), keys.worker_executions(worker), keys.LEASES]
    script_keys = [*own, *names]
    return CLAIM.call(
        script_keys,
        RQ_KEY_PREFIX,
        worker,
        room,
        execution_prefix,
        EXECUTION_TTL,
        *queues,
    )


def parse_claim(reply: Reply) -> Claim:
    suspended, left, jobs = reply
    return Claim(
        bool(suspended),
        bool(left),
        [
            Claimed(lane.decode(), job.decode(), execution.decode(), attempt, bool(ended), data)
            for lane, job, execution, attempt, ended, data in jobs
        ],
    )


def heartbeat(
    worker: str,
    queues: Sequence[str],
    lease_ms: int,
    entry: bytes,
    now_iso: str,
    worker_ttl: int,
    state: str,
) -> Command:
    names = [name for q in queues for name in (keys.ready(q), keys.wakeup(q), keys.rescan(q))]
    script_keys = [
        keys.LEASES,
        keys.DIRECTORY,
        keys.worker(worker),
        keys.worker_executions(worker),
        keys.SUSPENDED,
        keys.QUEUES,
        *names,
    ]
    return HEARTBEAT.call(
        script_keys, RQ_KEY_PREFIX, worker, lease_ms, entry, now_iso, worker_ttl, state, *queues
    )


class Closing(NamedTuple):
    """How one execution ended, in the terms of RQ's books; times in seconds since the epoch."""

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


def finish(worker: str, closings: Sequence[Closing]) -> Command:
    names: list[str] = []
    args: list[str | bytes | int | float] = []
    for closing in closings:
        lane, request_id, execution, registry, *rest = closing
        names += (keys.job(request_id), keys.registry("wip", lane), keys.registry(registry, lane))
        args += (request_id, execution, *rest)
    own = (keys.worker(worker), keys.worker_executions(worker))
    return FINISH.call([*own, *names], RQ_KEY_PREFIX, worker, *args)


def requeue(worker: str, lane: str, request_id: str, execution: str, ttl: int) -> Command:
    place = keys.Lane.parse(lane)
    return REQUEUE.call(
        [
            keys.job(request_id),
            keys.registry("wip", lane),
            keys.lane_list(lane),
            keys.worker_executions(worker),
            keys.ready(place.queue),
            keys.wakeup(place.queue),
        ],
        RQ_KEY_PREFIX,
        request_id,
        execution,
        place.plugin,
        ttl,
    )
