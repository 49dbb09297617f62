"""Convert a Redis URL to the settings of connections, for blocking sockets and asyncio alike.

An option of the URL overrides a default of ours, such as a timeout. The transports rely on a few
fixed settings: RESP 2, bytes as replies, no retries inside redis-py.
"""

import os
from typing import Any, Final, NamedTuple

from invokeq.protocol.errors import InvalidConfigurationError

DEFAULT_URL: Final = "redis://localhost:6379/0"

CONNECT_TIMEOUT: Final = 5.0
"""Seconds to connect to Redis, TLS included."""

REPLY_TIMEOUT: Final = 12.0
"""Seconds for the replies to one batch; well above the two seconds of a blocking XREAD."""

SENTINEL_TIMEOUT: Final = 2.0
"""Seconds for one Sentinel to name the master."""


class Timeouts(NamedTuple):
    """Seconds to connect, and seconds to wait for a reply; None sets no bound."""

    connect: float | None
    reply: float | None


def redis_url(url: str | None) -> str:
    """Return `url`, else the value of INVOKEQ_REDIS_URL, else the local default."""
    return url or os.environ.get("INVOKEQ_REDIS_URL") or DEFAULT_URL


def connection_options(of_url: dict[str, Any], timeouts: Timeouts, retry: object) -> dict[str, Any]:
    """Return the keyword arguments of a connection.

    `of_url` is the result of redis-py's `parse_url`; `retry` is redis-py's retry policy.
    """
    defaults: dict[str, Any] = {
        "socket_connect_timeout": timeouts.connect,
        "socket_timeout": timeouts.reply,
    }
    if "path" not in of_url:  # a unix socket takes no TCP option
        defaults["socket_keepalive"] = True
    fixed = {
        "protocol": 2,
        "decode_responses": False,
        "retry": retry,
        # redis-py's pool counts every connection ever made, not those that are open.
        "max_connections": 2**31 - 1,
        # No CLIENT SETINFO: a plugin's ACL user has no right to CLIENT, and no tool reads the name.
        "driver_info": None,
    }
    return {**defaults, **of_url, **fixed}


def unusable_url(problem: str) -> InvalidConfigurationError:
    """Return the error for an unusable URL."""
    return InvalidConfigurationError(source="Redis", setting="url", problem=problem)
