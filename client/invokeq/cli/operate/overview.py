"""A snapshot for operators: lanes, workers and running invocations.

Several reads make up the snapshot, so parts may be inconsistent. Costs at most six round trips
(seven when a worker's catalog is new), five commands a lane and one a worker, and shows at most
MAX_RUNNING running invocations. Plugins can write job fields, so decoding is lenient:
bytes outside UTF-8 as `\ufffd`, broken times and numbers as missing.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple

from invokeq.operations.directory import Directory, LiveWorker
from invokeq.operations.job_fields import number_of, text_of, time_of
from invokeq.operations.plan import Plan
from invokeq.protocol.redis import keys
from invokeq.protocol.redis.keys import Lane
from invokeq.protocol.redis.resp import Command
from invokeq.transport.batch import Batch

MAX_RUNNING: Final = 1000
"""Limit of running invocations in a snapshot; more may run."""


@dataclass(frozen=True, slots=True)
class LaneView:
    """One lane; `failed` counts jobs still kept by RQ, `oldest` is when the head was enqueued."""

    name: str
    waiting: int
    running: int
    failed: int
    workers: int
    oldest: datetime | None

    @property
    def idle(self) -> bool:
        """Return whether no invocation waits or runs in the lane."""
        return not self.waiting and not self.running


@dataclass(frozen=True, slots=True)
class WorkerView:
    """One live worker process."""

    name: str
    pool: str
    host: str
    pid: int
    running: int
    concurrency: int
    queues: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RunView:
    """One running invocation; `model` is `provider/model`."""

    request_id: str
    lane: str
    model: str
    worker: str
    attempt: int
    since: datetime | None


@dataclass(frozen=True, slots=True)
class Overview:
    """The whole snapshot at `now` by Redis's clock; `suspended` is the state of `rq suspend`.

    `running` is sorted from the oldest invocation.
    """

    now: datetime
    suspended: bool
    workers: tuple[WorkerView, ...]
    lanes: tuple[LaneView, ...]
    running: tuple[RunView, ...]


class _Lane(NamedTuple):
    """The replies to the five commands of a lane, in order."""

    waiting: int
    head: bytes | None
    running: int
    executions: list[bytes]
    failed: int


def read_overview(directory: Directory, max_running: int = MAX_RUNNING) -> Plan[Overview]:
    """Return the snapshot, with at most `max_running` running invocations."""
    workers = yield from directory.workers()
    (seconds, _), suspended, lists = yield Batch(
        [("TIME",), ("EXISTS", keys.SUSPENDED), ("SMEMBERS", keys.QUEUES)]
    )
    # Names of keys can be foreign: a plugin can write to RQ's set of queues.
    names = sorted({keys.lane_of(text_of(key)) for key in lists})
    lanes = yield from _read_lanes(names, int(seconds), max_running)
    held: list[int] = []
    if workers:
        held = yield Batch([("SCARD", keys.worker_executions(w.entry.name)) for w in workers])
    heads = yield from _read_heads(lanes)
    ids = [text_of(run.partition(b":")[0]) for lane in lanes for run in lane.executions]
    return Overview(
        now=datetime.fromtimestamp(int(seconds), UTC),
        suspended=bool(suspended),
        workers=tuple(_worker_view(w, n) for w, n in zip(workers, held, strict=True)),
        lanes=tuple(
            LaneView(
                name=name,
                waiting=lane.waiting,
                running=lane.running,
                failed=lane.failed,
                workers=_listening(name, workers),
                oldest=heads.get(lane.head),
            )
            for name, lane in zip(names, lanes, strict=True)
        ),
        running=(yield from _read_runs(ids[:max_running])),
    )


def _read_lanes(names: list[str], now: int, max_running: int) -> Plan[list[_Lane]]:
    commands: list[Command] = []
    for name in names:
        commands += [
            ("LLEN", keys.lane_list(name)),
            ("LINDEX", keys.lane_list(name), 0),
            ("ZCARD", keys.registry("wip", name)),
            ("ZRANGE", keys.registry("wip", name), 0, max_running - 1),
            # RQ cleans registries only at times, so jobs past their expiry are not counted.
            ("ZCOUNT", keys.registry("failed", name), now, "+inf"),
        ]
    if not commands:
        return []
    replies = yield Batch(commands)
    size = len(_Lane._fields)
    return [_Lane(*replies[i : i + size]) for i in range(0, len(replies), size)]


def _read_heads(lanes: list[_Lane]) -> Plan[dict[bytes | None, datetime | None]]:
    """Return when the head of each lane was enqueued, by job id."""
    heads = [lane.head for lane in lanes if lane.head is not None]
    if not heads:
        return {}
    replies = yield Batch([("HGET", keys.job(text_of(head)), "enqueued_at") for head in heads])
    return {head: time_of(reply) for head, reply in zip(heads, replies, strict=True)}


def _read_runs(ids: list[str]) -> Plan[tuple[RunView, ...]]:
    if not ids:
        return ()
    fields = ("status", "origin", "description", "worker_name", "attempt", "started_at")
    # A run may have ended since its lane was read, hence the check of `status` below.
    replies = yield Batch([("HMGET", keys.job(request_id), *fields) for request_id in ids])
    runs = [
        RunView(
            request_id=request_id,
            lane=text_of(origin),
            model=text_of(model),
            worker=text_of(worker),
            attempt=number_of(attempt),
            since=time_of(since),
        )
        for request_id, (status, origin, model, worker, attempt, since) in zip(
            ids, replies, strict=True
        )
        if status == b"started"
    ]
    return tuple(sorted(runs, key=lambda run: (str(run.since), run.request_id)))


def _worker_view(worker: LiveWorker, held: int) -> WorkerView:
    entry = worker.entry
    return WorkerView(
        name=entry.name,
        pool=entry.pool,
        host=entry.host,
        pid=entry.pid,
        running=held,
        concurrency=entry.concurrency,
        queues=tuple(entry.queues),
    )


def _listening(lane: str, workers: tuple[LiveWorker, ...]) -> int:
    queue = Lane.parse(lane).queue
    return sum(queue in worker.entry.queues for worker in workers)
