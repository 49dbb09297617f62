"""The options of a call beside the request, and the options of a session."""

import time
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, TypedDict, Unpack, get_args

from invokeq.protocol.errors import InvalidRequestError
from invokeq.protocol.redis.keys import check_name, check_request_id
from invokeq.protocol.requests import Priority

PICKUP_TIMEOUT: Final = 120.0
"""Seconds until a worker must have claimed an invocation; long enough for a busy queue."""

ORPHAN_TIMEOUT: Final = 30.0
"""Seconds after which an invocation without a reader is cancelled."""

MAX_REQUEST_BYTES: Final = 32 * 1024 * 1024
"""Limit of bytes of one request, as JSON; a larger request is not sent."""

MAX_FILE_BYTES: Final = 25 * 1024 * 1024
"""Limit of bytes of one audio file; a larger file is not sent."""

RETRY_FOR_SECONDS: Final = 30.0
"""Seconds for which a reader retries after the loss of Redis."""


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """The sender of a session, and the bounds on waiting and size. Times are in seconds.

    `lane` is the plugin with the lane for the jobs; None means the lane of `plugin_id`.
    """

    plugin_id: str
    tenant_id: str | None = None
    user_id: str | None = None
    pickup_timeout: float = PICKUP_TIMEOUT
    orphan_timeout: float = ORPHAN_TIMEOUT
    max_request_bytes: int = MAX_REQUEST_BYTES
    max_file_bytes: int = MAX_FILE_BYTES
    retry_for_seconds: float = RETRY_FOR_SECONDS
    lane: str | None = None

    def __post_init__(self) -> None:
        check_name("plugin_id", self.plugin_id)
        for field in ("pickup_timeout", "orphan_timeout"):
            if not getattr(self, field) >= 1:  # not `< 1`, which NaN would pass
                raise InvalidRequestError(field=field, problem="must be at least 1 second")

    def on_behalf_of(
        self, plugin_id: str, tenant_id: str | None, user_id: str | None
    ) -> "SessionOptions":
        """Return the same options for another sender, in the same lane."""
        lane = self.lane or self.plugin_id
        return replace(self, plugin_id=plugin_id, tenant_id=tenant_id, user_id=user_id, lane=lane)


class CallExtras(TypedDict, total=False):
    """The keyword arguments common to all calls of `session.model`.

    `request_id` is 32 lower-case hex characters: a known id attaches to the invocation of the id.
    `deadline` is in seconds from now, or an aware datetime. A call of priority "high" goes to the
    front of the lane. A `detached` call runs on without a reader.
    """

    request_id: str | None
    deadline: float | datetime | None
    priority: Priority
    detached: bool


@dataclass(frozen=True, slots=True)
class CallOptions:
    """The extras of a call, checked; `deadline` is in seconds since the epoch."""

    request_id: str | None = None
    deadline: float | None = None
    priority: Priority = "normal"
    detached: bool = False


_NO_EXTRAS: Final = CallOptions()
_NAMES: Final = frozenset(CallExtras.__annotations__)
_PRIORITIES: Final = get_args(Priority)


def call_options(**extras: Unpack[CallExtras]) -> CallOptions:
    """Check the extras of a call.

    Raises TypeError for an unknown keyword, InvalidRequestError for a bad value.
    """
    if not extras:
        return _NO_EXTRAS
    for name in extras:
        if name not in _NAMES:
            raise TypeError(f"a call has no argument {name!r}")
    request_id, priority = extras.get("request_id"), extras.get("priority", "normal")
    if request_id is not None:
        check_request_id(request_id)
    if priority not in _PRIORITIES:
        raise InvalidRequestError(
            field="priority", problem=f"must be one of {', '.join(_PRIORITIES)}"
        )
    deadline = _deadline(extras.get("deadline"))
    return CallOptions(request_id, deadline, priority, extras.get("detached", False))


def _deadline(deadline: float | datetime | None) -> float | None:
    if deadline is None:
        return None
    if isinstance(deadline, datetime):
        if deadline.tzinfo is None:
            raise InvalidRequestError(field="deadline", problem="must have a time zone")
        at = deadline.timestamp()
    elif deadline > 0:
        at = time.time() + deadline
    else:
        raise InvalidRequestError(field="deadline", problem="must be more than 0 seconds from now")
    if at <= time.time():
        raise InvalidRequestError(field="deadline", problem="has passed already")
    return at
