"""The settings of a gateway, with defaults."""

from dataclasses import dataclass, field
from typing import Final, Literal

from invokeq.protocol.errors import InvalidConfigurationError

HOST: Final = "127.0.0.1"

PORT: Final = 5002
"""The default port of Dify's SDK for its daemon."""

MAX_BODY_BYTES: Final = 64 * 1024 * 1024
"""Bytes of one request; the largest audio file is 50 MiB as hexadecimal digits."""

HEARTBEAT: Final = 25.0
"""Seconds without output after which a blank line is sent; the SDK times out after 250."""

SESSION_TTL: Final = 1800
"""Default TTL of a session in seconds, as in Dify; `POST /sessions` may ask for another TTL."""

MAX_SESSION_TTL: Final = 86_400

GRACE: Final = 30.0
"""Seconds for running calls to finish after SIGTERM."""

LogFormat = Literal["console", "json"]


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """The settings of one gateway; times are in seconds.

    Without `key`, `/sessions` refuses every request; without `inner_key`, `/inner/api/` does. Keys
    are never printed or logged.
    """

    plugin_id: str = "gateway"
    redis: str | None = field(default=None, repr=False)
    host: str = HOST
    port: int = PORT
    key: str | None = field(default=None, repr=False)
    inner_key: str | None = field(default=None, repr=False)
    max_body_bytes: int = MAX_BODY_BYTES
    heartbeat: float = HEARTBEAT
    session_ttl: int = SESSION_TTL
    grace: float = GRACE
    log_format: LogFormat = "console"

    def __post_init__(self) -> None:
        if not (self.key or self.inner_key):
            raise _wrong("key", "set INVOKEQ_GATEWAY_KEY, or INVOKEQ_INNER_API_KEY, or both")
        for name in ("key", "inner_key"):
            if not (getattr(self, name) or "-").isascii():
                raise _wrong(name, "must be ASCII, which is all that a header can carry")
        for name in ("max_body_bytes", "heartbeat", "session_ttl", "grace"):
            if not getattr(self, name) > 0:
                raise _wrong(name, "must be more than 0")


def _wrong(setting: str, problem: str) -> InvalidConfigurationError:
    return InvalidConfigurationError(source="gateway", setting=setting, problem=problem)
