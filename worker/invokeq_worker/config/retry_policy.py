"""What is to be done about a vendor call that failed. Pure: time and chance enter as parameters."""

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
# Asking the same vendor again would be no use, or would take as long again.
_LASTING: Final = (ProviderSilenceError, CredentialsError)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a vendor is asked for one thing, and the bounds on the waits; times in seconds."""

    calls: int = 3
    base: float = 0.5
    cap: float = 20.0
    longest_wait: float = 60.0


def retry_wait(
    error: InvokeqError, made: int, policy: RetryPolicy, *, left: float | None, chance: float
) -> float | None:
    """Give the seconds until a call may be made again, or None if it is not to be.

    Full jitter: `chance`, from 0 to 1, is the share of the backoff after `made` calls. What the
    vendor asked to wait comes on top of it, so that those who were sent away together do not come
    back together. A first call whose kept connection was gone is made again at once. `left` are the
    seconds until the deadline; a wait that reaches it is no use.
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
    """Tell whether another model may do better after this failure of a model."""
    return isinstance(error, _PASSING + _LASTING)
