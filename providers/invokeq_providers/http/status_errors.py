"""Mapping of a vendor's failed HTTP answer to the error tree.

Pure: the clock enters as a parameter. Credentials never leave. Vendors often quote a refused key,
so the vendor's words are dropped for refused keys, and known secrets are blanked everywhere else.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final

from invokeq.protocol.errors import (
    CredentialsError,
    InvokeqError,
    ProviderUnavailableError,
    RateLimitedError,
    RejectedByProviderError,
)

_MAX_DETAIL: Final = 500  # characters of the vendor's text that go into an error
# A 429 with one of these codes is about money, not about time: no waiting helps.
_NO_CREDIT: Final = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
_REFUSED: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
# Statuses under 500 after which the same request may succeed.
_PASSING: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.TOO_EARLY})


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed request: `detail` holds the vendor's words, `code` the vendor's code.

    `retry_after` is in seconds; `chunks` counts the chunks emitted before the failure.
    """

    status: int
    detail: str
    code: str | None = None
    retry_after: float | None = None
    chunks: int = 0


def error_from_failure(failure: Failure, *, provider: str, model: str) -> InvokeqError:
    """Return the error for a failed request, chosen by the caller's possible reaction."""
    where: dict[str, Any] = {"provider": provider, "model": model}
    status, detail = failure.status, failure.detail
    if status in _REFUSED:
        return CredentialsError(problem=f"the vendor refused them (HTTP {status})", **where)
    if status == HTTPStatus.PAYMENT_REQUIRED or failure.code in _NO_CREDIT:
        return CredentialsError(problem="the vendor says that their credit is used up", **where)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return RateLimitedError(detail=detail, retry_after=failure.retry_after, **where)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _PASSING:
        return ProviderUnavailableError(
            detail=f"HTTP {status}: {detail}",
            status=status,
            chunks=failure.chunks,
            retry_after=failure.retry_after,
            **where,
        )
    return RejectedByProviderError(status=status, detail=detail, **where)


def retry_after_seconds(headers: Mapping[str, str], now: float) -> float | None:
    """Return the vendor's requested wait in seconds, or None; `now` is in seconds since the epoch.

    Reads `retry-after` in seconds or as a date (RFC 9110, section 10.2.3), and `retry-after-ms`, an
    extension of vendors.
    """
    for name, factor in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) * factor
        except ValueError:
            continue
        if math.isfinite(seconds):
            return max(seconds, 0.0)
    try:
        date = parsedate_to_datetime(headers.get("retry-after", ""))
    except ValueError:
        return None
    return max(date.timestamp() - now, 0.0)


def one_line(text: str, secrets: Iterable[str] = ()) -> str:
    """Return a vendor's text for an error: one line of bounded length, without secrets."""
    # Secrets go first: a cut in the middle of a secret would leave a part unrecognised.
    for secret in secrets:
        text = text.replace(secret, "***")
    line = " ".join(text.split())
    return line if len(line) <= _MAX_DETAIL else f"{line[:_MAX_DETAIL]}..."
