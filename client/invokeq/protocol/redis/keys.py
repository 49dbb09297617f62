"""Every Redis key, channel and field name of invokeq, built in one place.

Two families. Keys of RQ's family carry RQ's prefix; with `RQ_KEY_PREFIX` set to `{rq}` all share one slot of a
Redis Cluster. Keys of one invocation carry the hash tag `{request id}` and spread over a cluster.

| key | type | life | content |
|---|---|---|---|
| `rq:queue:<lane>` | list | while jobs wait | RQ: the ids waiting in a lane |
| `rq:queues` | set | permanent | RQ: all lanes |
| `rq:job:<id>` | hash | a day, then result or failure TTL | RQ: the job, with our `attempt` and `ended` fields |
| `rq:wip:<lane>`, `rq:finished:<lane>`, `rq:failed:<lane>`, `rq:canceled:<lane>` | zset | permanent, pruned | RQ: registries |
| `rq:worker:<name>`, `rq:worker:<name>:executions` | hash, set | worker TTL | RQ: a worker and the running executions |
| `rq:execution:<id>:<execution>`, `rq:executions:<id>` | hash, zset | heartbeat TTL | RQ: one execution |
| `rq:results:<id>` | stream | result or failure TTL | RQ: the outcomes of executions |
| `rq:workers`, `rq:workers:<queue>` | set | permanent | RQ: registered workers |
| `rq:invokeq:ready:<queue>` | set | until the next claim | plugins with a lane that may have work |
| `rq:invokeq:schedule:<queue>` | zset | while lanes have work | lanes by the time of last service (round robin) |
| `rq:invokeq:wakeup:<queue>` | list | until the next claim | wakeups, on which idle workers block |
| `rq:invokeq:waiting:<lane>:<tenant>` | zset | a day after the last | waiting ids of a tenant with a bound |
| `rq:invokeq:leases` | zset | permanent, pruned | workers by the end of the lease, in server milliseconds |
| `rq:invokeq:directory` | hash | permanent, pruned | each worker's queues and catalog, and each queue's number of waiting invocations |
| `rq:invokeq:catalog:<digest>` | string | a day, refreshed | providers and models with facts |
| `rq:invokeq:reaping:<worker>`, `rq:invokeq:rescan:<queue>` | string | seconds | lock of a cleanup in progress |
| `rq:invokeq:session:<digest>` | string | as long as the session is open | identity of a plugin process behind a gateway |
| `invokeq:{<id>}:events` | stream | a day running, 10 min after the end | the events of one invocation |
| `invokeq:{<id>}:reader` | string | orphan time | the reader's lease: a position, or an order; see `lease.py` |
| `invokeq:{<id>}:request_id` | string | a day | lock of a request id chosen by a caller |
| `invokeq:{<id>}:body:<n>` | string | a day | a part of a request too large for the job |
| `invokeq:{<id>}:file:<n>` | string | a day | a part of the audio of a request |
"""

import re
from dataclasses import dataclass
from typing import Final

from rq.defaults import RQ_KEY_PREFIX

from invokeq.protocol.errors import InvalidRequestError

CANCEL_CHANNEL: Final = "invokeq:cancel"
"""Request ids to cancel are published here as `<request id> <reason>`; every worker listens."""

_OURS: Final = f"{RQ_KEY_PREFIX}:invokeq"
_REQUEST_ID: Final = re.compile(r"[0-9a-f]{32}")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@/+-]{0,127}")

SUSPENDED: Final = f"{RQ_KEY_PREFIX}:suspended"
QUEUES: Final = f"{RQ_KEY_PREFIX}:queues"
WORKERS: Final = f"{RQ_KEY_PREFIX}:workers"
LEASES: Final = f"{_OURS}:leases"
DIRECTORY: Final = f"{_OURS}:directory"

PERMANENT: Final = (
    QUEUES,
    WORKERS,
    f"{RQ_KEY_PREFIX}:workers:*",
    f"{RQ_KEY_PREFIX}:queue:*",
    f"{RQ_KEY_PREFIX}:wip:*",
    f"{RQ_KEY_PREFIX}:finished:*",
    f"{RQ_KEY_PREFIX}:failed:*",
    f"{RQ_KEY_PREFIX}:canceled:*",
    f"{_OURS}:ready:*",
    f"{_OURS}:schedule:*",
    f"{_OURS}:wakeup:*",
    LEASES,
    DIRECTORY,
)
"""Patterns of the keys without a TTL: pruned by use, or empty while no job waits."""


def check_request_id(request_id: str) -> str:
    """Return the id unchanged; raise InvalidRequestError unless 32 lower-case hex characters."""
    if not _REQUEST_ID.fullmatch(request_id):
        raise InvalidRequestError(
            field="request_id", problem=f"must be 32 lower-case hex characters, not {request_id!r}"
        )
    return request_id


def check_name(field: str, name: str) -> str:
    """Return a plugin or queue name unchanged; raise InvalidRequestError for one unfit for a key."""
    if not _NAME.fullmatch(name):
        raise InvalidRequestError(
            field=field,
            problem=f"must be 1 to 128 letters, digits or _ . @ / + - (not {name[:140]!r})",
        )
    return name


@dataclass(frozen=True, slots=True)
class Lane:
    """The RQ queue of one plugin for one kind of work, called `<queue>:<plugin>`."""

    queue: str
    plugin: str

    @property
    def name(self) -> str:
        return f"{self.queue}:{self.plugin}"

    @classmethod
    def parse(cls, name: str) -> "Lane":
        """Split a lane's name at the first colon; a queue without a lane belongs to the plugin ``""``."""
        # Neither part may contain a colon (`check_name`), so the first colon is the only one.
        queue, _, plugin = name.partition(":")
        return cls(queue, plugin)


def job(request_id: str) -> str:
    """Return the key of RQ's hash of one job."""
    return f"{RQ_KEY_PREFIX}:job:{request_id}"


def lane_list(lane: str) -> str:
    """Return the key of the list of ids waiting in a lane, first in line at the head."""
    return f"{RQ_KEY_PREFIX}:queue:{lane}"


def lane_of(list_key: str) -> str:
    """Return the name of the lane with the list `list_key`."""
    return list_key.removeprefix(f"{RQ_KEY_PREFIX}:queue:")


def registry(kind: str, lane: str) -> str:
    """Return the key of RQ's registry `kind`: wip, finished, failed or canceled."""
    return f"{RQ_KEY_PREFIX}:{kind}:{lane}"


def lane_workers(lane: str) -> str:
    """Return the key of RQ's set of the workers that serve a lane."""
    return f"{RQ_KEY_PREFIX}:workers:{lane}"


def worker(name: str) -> str:
    """Return the key of RQ's hash of one worker."""
    return f"{RQ_KEY_PREFIX}:worker:{name}"


def worker_executions(name: str) -> str:
    """Return the key of the set of `<request id>:<execution>` that a worker runs."""
    return f"{RQ_KEY_PREFIX}:worker:{name}:executions"


def execution(request_id: str, execution_id: str) -> str:
    """Return the key of RQ's hash of one execution, to which invokeq adds `lane` and `attempt`."""
    return f"{RQ_KEY_PREFIX}:execution:{request_id}:{execution_id}"


def worker_channel(name: str) -> str:
    """Return RQ's command channel of one worker; plugins have no right to publish there."""
    return f"{RQ_KEY_PREFIX}:pubsub:{name}"


def ready(queue: str) -> str:
    """Return the key of the set of ready plugins, with a lane that may have work."""
    return f"{_OURS}:ready:{queue}"


def schedule(queue: str) -> str:
    """Return the key of the lane schedule: lanes by the time of the last turn (round robin)."""
    return f"{_OURS}:schedule:{queue}"


def wakeup(queue: str) -> str:
    """Return the key of the wakeup list, on which idle workers block."""
    return f"{_OURS}:wakeup:{queue}"


def waiting(lane: str, tenant: str) -> str:
    """Return the key of one tenant's ids waiting in a lane; `tenant` is a digest."""
    return f"{_OURS}:waiting:{lane}:{tenant}"


def depth_field(queue: str) -> str:
    """Return the directory field with the number of invocations waiting in all lanes of a queue."""
    return f"depth:{queue}"


def catalog(digest: str) -> str:
    """Return the key of providers and models with facts, by a digest of the content."""
    return f"{_OURS}:catalog:{digest}"


def plugin_session(digest: str) -> str:
    """Return the key of a gateway's session by a digest: the id is a secret and appears in no key."""
    return f"{_OURS}:session:{digest}"


def reaping(worker_name: str) -> str:
    """Return the key of the lock on cleaning up after a dead worker."""
    return f"{_OURS}:reaping:{worker_name}"


def rescan(queue: str) -> str:
    """Return the key of the lock on looking for lanes that RQ's own tools filled."""
    return f"{_OURS}:rescan:{queue}"


def events(request_id: str) -> str:
    """Return the key of the stream of events of one invocation."""
    return f"invokeq:{{{request_id}}}:events"


def reader(request_id: str) -> str:
    """Return the key of the reader's lease of one invocation."""
    return f"invokeq:{{{request_id}}}:reader"


# Set with NX before the push: of two submissions with one id, only the first pushes a job.
def request_id_lock(request_id: str) -> str:
    """Return the key of the lock with which a chosen request id runs once."""
    return f"invokeq:{{{request_id}}}:request_id"


def body_part(request_id: str, number: int) -> str:
    """Return the key of one part of a request too large for the job, counted from 0."""
    return f"invokeq:{{{request_id}}}:body:{number}"


def file_part(request_id: str, number: int) -> str:
    """Return the key of one part of the audio of a request, counted from 0."""
    return f"invokeq:{{{request_id}}}:file:{number}"
