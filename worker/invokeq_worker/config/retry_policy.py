"""Decide on retries of failed vendor calls. Pure: time and chance enter as parameters."""

from dataclasses import dataclass
from typing import Final

from invokeq.protocol.errors import (
    CredentialsError,
    InvokeqError,
    ProviderSilenceError,
    ProviderUnavailableError,
    RateLimitedError,
)

_PASSING: Final = (ProviderUnavailableError, RateLimitedError)
# A retry with the same vendor would fail again, or take as long again.
_LASTING: Final = (ProviderSilenceError, CredentialsError)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The number of vendor calls for one output, and the bounds on the waits; times in seconds."""

    calls: int = 3
    base: float = 0.5
    cap: float = 20.0
    longest_wait: float = 60.0


def retry_wait(
    error: InvokeqError, made: int, policy: RetryPolicy, *, left: float | None, chance: float
) -> float | None:
    """Return the seconds until the next call may be made, or None for no retry.

    Exponential backoff with full jitter: `chance`, from 0 to 1, is the share of the backoff after
    `made` calls. The `retry_after` of the vendor is added, so that clients limited together do not
    return together. A first call on a kept but closed connection is retried at once. `left` is the
    number of seconds until the deadline; a longer wait is useless.
    """
    if not isinstance(error, _PASSING) or made >= policy.calls:
        return None
    asked = error.retry_after or 0.0
    if asked > policy.longest_wait:
        return None
    lost = isinstance(error, ProviderUnavailableError) and error.reconnect is True
    at_once = made == 1 and lost
    backoff = 0.0 if at_once else chance * min(policy.cap, policy.base * 2.0 ** (made - 1))
    wait = asked + backoff
    return wait if left is None or wait < left else None


def allows_fallback(error: InvokeqError) -> bool:
    """Return whether a fallback model may succeed after an error."""
    return isinstance(error, _PASSING + _LASTING)
