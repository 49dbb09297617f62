"""Admission: keep the number of waiting jobs within the operator's bounds.

The bound of a lane is exact and costs no round trip: the reply to the push is the depth. A caller
over the bound withdraws the pushed job before a worker claims the job. If a worker was quicker, the
job does not wait any more and stays. So more jobs than the bound wait only for the moment of the
withdrawal, and of racing callers exactly as many are admitted as there are places. One exception:
a job in withdrawal still counts, so a caller may be refused for a place about to become free.

The bound of a tenant in a lane works in the same way, with a set of the waiting ids. The set exists
only if the operator set such a bound. The bound of a queue over all lanes is coarse: workers count
once a second, and a client adds the jobs pushed since.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

from invokeq.operations.plan import CommandList, Plan, Slot
from invokeq.protocol.directory import QueueBounds
from invokeq.protocol.errors import QueueFullError
from invokeq.protocol.redis import keys
from invokeq.protocol.redis.keys import Lane
from invokeq.protocol.redis.resp import Command
from invokeq.transport.batch import Batch

WAITING_TTL: Final = 86_400
"""Seconds after which an unclaimed id stops counting for the tenant."""

STRAYS: Final = 256
"""How many of a tenant's oldest ids are checked once the tenant seems to be over the bound."""


@dataclass(frozen=True, slots=True)
class Admission:
    """The bounds of one job; `tenant` is the key part of the tenant, None without such a bound."""

    lane: Lane
    bounds: QueueBounds
    tenant: str | None

    @classmethod
    def of(cls, lane: Lane, bounds: QueueBounds, tenant_id: str | None) -> "Admission":
        """Return the bounds for a job of a tenant."""
        bounded = bounds.tenant and tenant_id is not None
        return cls(lane, bounds, _digest(tenant_id) if bounded and tenant_id else None)

    @property
    def job_fields(self) -> Sequence[str]:
        """Return the job's fields for the claim script to end the count for the tenant."""
        return () if self.tenant is None else ("tenant", self.tenant)

    def add_count(self, commands: CommandList, request_id: str, now: float) -> Slot | None:
        """Count a job for the tenant; return the slot of the number of waiting jobs, if bounded."""
        if self.tenant is None:
            return None
        key = keys.waiting(self.lane.name, self.tenant)
        # A set, not a counter: a repeated ZADD of one id counts once, so a batch that is sent again
        # after a lost connection stays idempotent.
        commands.add("ZADD", key, now, request_id)
        commands.add("ZREMRANGEBYSCORE", key, 0, now - WAITING_TTL)
        commands.add("EXPIRE", key, WAITING_TTL)
        return commands.add("ZCARD", key)


def check_queue(queue: str, depth: int, bounds: QueueBounds) -> None:
    """Raise QueueFullError if no more may wait in all lanes of a queue together."""
    if bounds.queue and depth >= bounds.queue:
        raise QueueFullError(scope=f"Queue {queue}", queue=queue, depth=depth, limit=bounds.queue)


def over_bound(
    admission: Admission, depth: int, tenant_depth: int | None
) -> Plan[QueueFullError | None]:
    """Return the error if a pushed job is over a bound, or None.

    `depth` is the length of the lane behind the push. `tenant_depth` is the number of the tenant's
    jobs in the lane. Both count the job. No round trip while there is room.
    """
    lane, bounds = admission.lane.name, admission.bounds
    if bounds.lane and depth > bounds.lane:
        return QueueFullError(scope=f"Lane {lane}", queue=lane, depth=depth - 1, limit=bounds.lane)
    if admission.tenant is not None and (tenant_depth or 0) > bounds.tenant:
        # `rq empty` removes ids from the lane but not from the tenant's set, so a refusal is
        # checked against the job records first.
        waiting = yield from _without_strays(lane, admission.tenant)
        if waiting > bounds.tenant:
            scope = f"The tenant in lane {lane}"
            return QueueFullError(scope=scope, queue=lane, depth=waiting - 1, limit=bounds.tenant)
    return None


def withdraw_job(admission: Admission, request_id: str, parts: Sequence[str]) -> Plan[bool]:
    """Withdraw a pushed job; return False if a worker has claimed the job. Two round trips.

    The keys beside the job, `parts`, are deleted as well.
    """
    lane, job = admission.lane.name, keys.job(request_id)
    commands = CommandList()
    commands.begin()
    commands.add("LREM", keys.lane_list(lane), -1, request_id)  # from the end, where most are
    status_slot = commands.add("HGET", job, "status")
    commands.commit()
    # The status decides, not the reply to LREM: a batch that is sent again finds the id removed.
    status = commands.reply(status_slot, (yield Batch(commands)))
    if status not in (None, b"queued"):
        return False
    # EXPIRE 0 instead of DEL: the ACL of a plugin allows no DEL.
    removals: list[Command] = [("EXPIRE", key, 0) for key in (job, *parts)]
    if admission.tenant is not None:  # first, beside the job: on a cluster the parts are elsewhere
        removals.insert(0, ("ZREM", keys.waiting(lane, admission.tenant), request_id))
    yield Batch(removals)
    return True


def _without_strays(lane: str, tenant: str) -> Plan[int]:
    """Return how many jobs of a tenant wait; remove ids of jobs gone by `rq empty`."""
    key = keys.waiting(lane, tenant)
    (found,) = yield Batch([("ZRANGE", key, 0, STRAYS - 1)])
    ids: list[Any] = [request_id.decode() for request_id in found]
    states = yield Batch([("HGET", keys.job(request_id), "status") for request_id in ids])
    gone = [i for i, status in zip(ids, states, strict=True) if status != b"queued"]
    commands = CommandList()
    if gone:
        commands.add("ZREM", key, *gone)
    count = commands.add("ZCARD", key)
    return commands.reply(count, (yield Batch(commands)))


def _digest(tenant_id: str) -> str:
    """Return the key part of a tenant: a digest, because a name may hold any characters."""
    return blake2b(tenant_id.encode(), digest_size=12).hexdigest()
