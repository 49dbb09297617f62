"""Decide which plugin an invocation acts for: by the lane of the job, not by the envelope."""

from collections.abc import Collection
from dataclasses import dataclass

from invokeq.protocol.errors import PermissionDeniedError
from invokeq.protocol.redis.keys import Lane
from invokeq.protocol.requests import Envelope


@dataclass(frozen=True, slots=True)
class Identity:
    """The plugin, tenant and user of an invocation."""

    plugin: str
    tenant: str | None
    user: str | None


def decide_identity(lane: Lane, envelope: Envelope, trusted: Collection[str]) -> Identity:
    """Return the identity of a job's sender.

    Only a trusted plugin may act on behalf of another plugin. Raises
    PermissionDeniedError when the envelope names another plugin than the lane, or when the job was
    put into a queue without a lane.
    """
    # Redis ACL rules tie a plugin to its lanes, so the lane cannot be forged; the envelope can.
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
