"""Every Redis key, channel and field name of invokeq, built in one place.

Two families. Keys of RQ's family carry RQ's prefix (`RQ_KEY_PREFIX`, set it to `{rq}` on a Redis Cluster and
they share one slot). Keys of one invocation carry the hash tag `{request id}` and spread over a cluster.

| key | type | life | what it holds |
|---|---|---|---|
| `rq:queue:<lane>` | list | while jobs wait | RQ: the ids that wait in a lane |
| `rq:queues` | set | permanent | RQ: the lanes there are |
| `rq:job:<id>` | hash | a day, then result or failure TTL | RQ: the job, with our `attempt` and `ended` fields |
| `rq:wip:<lane>`, `rq:finished:<lane>`, `rq:failed:<lane>`, `rq:canceled:<lane>` | zset | permanent, pruned | RQ: registries |
| `rq:worker:<name>`, `rq:worker:<name>:executions` | hash, set | worker TTL | RQ: the worker and what it runs |
| `rq:execution:<id>:<execution>`, `rq:executions:<id>` | hash, zset | heartbeat TTL | RQ: one execution |
| `rq:results:<id>` | stream | result or failure TTL | RQ: how executions ended |
| `rq:workers`, `rq:workers:<queue>` | set | permanent | RQ: workers there are |
| `rq:invokeq:ready:<queue>` | set | until the next claim | plugins whose lane may have work |
| `rq:invokeq:schedule:<queue>` | zset | while lanes have work | lanes by the time they were last served |
| `rq:invokeq:wakeup:<queue>` | list | until the next claim | what idle workers block on |
| `rq:invokeq:waiting:<lane>:<tenant>` | zset | a day after the last | waiting ids of a tenant that has a bound |
| `rq:invokeq:leases` | zset | permanent, pruned | workers by the end of their lease, server ms |
| `rq:invokeq:directory` | hash | permanent, pruned | what each worker listens on and serves, and how much waits in each queue |
| `rq:invokeq:catalog:<digest>` | string | a day, refreshed | providers and models with their facts |
| `rq:invokeq:reaping:<worker>`, `rq:invokeq:rescan:<queue>` | string | seconds | who cleans up right now |
| `rq:invokeq:session:<digest>` | string | as long as it is open | for whom a plugin process behind a gateway speaks |
| `invokeq:{<id>}:events` | stream | a day running, 10 min after the end | the events of one invocation |
| `invokeq:{<id>}:reader` | string | orphan time | the reader's lease: how far it has come, or an order; see `lease.py` |
| `invokeq:{<id>}:request_id` | string | a day | that a request id which a caller chose is taken |
| `invokeq:{<id>}:body:<n>` | string | a day | a part of a request too large for the job |
| `invokeq:{<id>}:file:<n>` | string | a day | a part of the audio that a request is about |
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
"""Patterns of the keys that have no TTL: they are pruned by use, or empty when nothing waits."""


def check_request_id(request_id: str) -> str:
    """Return the id unchanged if it is 32 lower-case hex characters, else raise InvalidRequestError."""
    if not _REQUEST_ID.fullmatch(request_id):
        raise InvalidRequestError(
            field="request_id", problem=f"must be 32 lower-case hex characters, not {request_id!r}"
        )
    return request_id


def check_name(field: str, name: str) -> str:
    """Return a plugin or queue name unchanged if it can be part of a key, else raise InvalidRequestError."""
    if not _NAME.fullmatch(name):
        raise InvalidRequestError(
            field=field,
            problem=f"must be 1 to 128 letters, digits or _ . @ / + - (not {name[:140]!r})",
        )
    return name


@dataclass(frozen=True, slots=True)
class Lane:
    """The RQ queue of one plugin for one kind of work; its name is `<queue>:<plugin>`."""

    queue: str
    plugin: str

    @property
    def name(self) -> str:
        return f"{self.queue}:{self.plugin}"

    @classmethod
    def parse(cls, name: str) -> "Lane":
        """Split a lane's name at its first colon; a queue without a lane belongs to the plugin ``""``."""
        queue, _, plugin = name.partition(":")
        return cls(queue, plugin)


def job(request_id: str) -> str:
    return f"{RQ_KEY_PREFIX}:job:{request_id}"


def lane_list(lane: str) -> str:
    return f"{RQ_KEY_PREFIX}:queue:{lane}"


def lane_of(list_key: str) -> str:
    """Give the name of the lane whose list this is."""
    return list_key.removeprefix(f"{RQ_KEY_PREFIX}:queue:")


def registry(kind: str, lane: str) -> str:
    """Key of RQ's registry `kind`: wip, finished, failed or canceled."""
    return f"{RQ_KEY_PREFIX}:{kind}:{lane}"


def lane_workers(lane: str) -> str:
    return f"{RQ_KEY_PREFIX}:workers:{lane}"


def worker(name: str) -> str:
    return f"{RQ_KEY_PREFIX}:worker:{name}"


def worker_executions(name: str) -> str:
    return f"{RQ_KEY_PREFIX}:worker:{name}:executions"


def execution(request_id: str, execution_id: str) -> str:
    """Key of RQ's hash of one execution; ours holds its `lane` and `attempt` too."""
    return f"{RQ_KEY_PREFIX}:execution:{request_id}:{execution_id}"


def worker_channel(name: str) -> str:
    """RQ's command channel of one worker; plugins have no right to publish here."""
    return f"{RQ_KEY_PREFIX}:pubsub:{name}"


def ready(queue: str) -> str:
    return f"{_OURS}:ready:{queue}"


def schedule(queue: str) -> str:
    return f"{_OURS}:schedule:{queue}"


def wakeup(queue: str) -> str:
    return f"{_OURS}:wakeup:{queue}"


def waiting(lane: str, tenant: str) -> str:
    """Key of the ids of one tenant that wait in a lane; `tenant` is a digest."""
    return f"{_OURS}:waiting:{lane}:{tenant}"


def depth_field(queue: str) -> str:
    """Field of the directory with the number of invocations that wait in all lanes of a queue."""
    return f"depth:{queue}"


def catalog(digest: str) -> str:
    return f"{_OURS}:catalog:{digest}"


def plugin_session(digest: str) -> str:
    """Key of a session that a gateway has opened; the id itself, which is a secret, is in no key."""
    return f"{_OURS}:session:{digest}"


def reaping(worker_name: str) -> str:
    return f"{_OURS}:reaping:{worker_name}"


def rescan(queue: str) -> str:
    return f"{_OURS}:rescan:{queue}"


def events(request_id: str) -> str:
    return f"invokeq:{{{request_id}}}:events"


def reader(request_id: str) -> str:
    return f"invokeq:{{{request_id}}}:reader"


def request_id_lock(request_id: str) -> str:
    return f"invokeq:{{{request_id}}}:request_id"


def body_part(request_id: str, number: int) -> str:
    return f"invokeq:{{{request_id}}}:body:{number}"


def file_part(request_id: str, number: int) -> str:
    return f"invokeq:{{{request_id}}}:file:{number}"
