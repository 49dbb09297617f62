"""Who an invocation speaks for: the lane it came from, not what its envelope says."""

from collections.abc import Collection
from dataclasses import dataclass

from invokeq.protocol.errors import PermissionDeniedError
from invokeq.protocol.redis.keys import Lane
from invokeq.protocol.requests import Envelope


@dataclass(frozen=True, slots=True)
class Identity:
    """Plugin, tenant and user as the worker believes them."""

    plugin: str
    tenant: str | None
    user: str | None


def decide_identity(lane: Lane, envelope: Envelope, trusted: Collection[str]) -> Identity:
    """Believe the lane; only a plugin that the operator trusts may speak for another one.

    Raises PermissionDeniedError when the envelope names another plugin than its lane does, or when
    the job was put into a queue without a lane.
    """
    if not lane.plugin:
        raise PermissionDeniedError(
            problem=f"Queue {lane.queue!r} takes no jobs itself; enqueue into {lane.queue}:<plugin>"
        )
    if lane.plugin in trusted:
        return Identity(envelope.plugin_id, envelope.tenant_id, envelope.user_id)
    if envelope.plugin_id != lane.plugin:
        raise PermissionDeniedError(
            problem=f"Plugin {envelope.plugin_id!r} may not use the lane of {lane.plugin!r}"
        )
    return Identity(lane.plugin, envelope.tenant_id, envelope.user_id)
