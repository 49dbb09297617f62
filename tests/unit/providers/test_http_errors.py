"""A vendor's HTTP errors become errors of our tree."""

from email.utils import formatdate
from typing import Any

import pytest

from invokeq.protocol.errors import (
    CredentialsError,
    InvokeqError,
    ProviderUnavailableError,
    RateLimitedError,
    RejectedByProviderError,
)
from invokeq_providers.http.status_errors import (
    Failure,
    error_from_failure,
    one_line,
    retry_after_seconds,
)

NOW = 1_795_000_000.0


def error(status: int, **fields: Any) -> InvokeqError:
    return error_from_failure(Failure(status, "words", **fields), provider="p", model="m")


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, RejectedByProviderError),
        (401, CredentialsError),
        (402, CredentialsError),
        (403, CredentialsError),
        (404, RejectedByProviderError),
        (408, ProviderUnavailableError),
        (409, ProviderUnavailableError),
        (413, RejectedByProviderError),
        (422, RejectedByProviderError),
        (429, RateLimitedError),
        (500, ProviderUnavailableError),
        (503, ProviderUnavailableError),
        (529, ProviderUnavailableError),
    ],
)
def test_every_status_has_its_error(status: int, expected: type[InvokeqError]) -> None:
    found = error(status)
    assert type(found) is expected
    assert (found.provider, found.model) == ("p", "m")
    assert "?" not in str(found)


def test_no_credit_is_not_a_matter_of_time() -> None:
    found = error(429, code="insufficient_quota", retry_after=5.0)
    assert isinstance(found, CredentialsError)
    assert not found.retryable


def test_the_time_to_wait_goes_along() -> None:
    assert error(429, retry_after=5.0).retry_after == 5.0
    assert error(503, retry_after=5.0).retry_after == 5.0


def test_a_refused_key_is_not_quoted() -> None:
    assert "words" not in str(error(401))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "-1"}, 0.0),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"retry-after": formatdate(NOW + 30, usegmt=True)}, 30.0),
        ({"retry-after": formatdate(NOW - 30, usegmt=True)}, 0.0),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
    ],
)
def test_retry_after_in_all_its_forms(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_seconds(headers, NOW) == seconds


def test_a_vendors_text_becomes_one_short_line_without_secrets() -> None:
    line = one_line("bad\n key  sk-1 " + "x" * 1000, ["sk-1"])
    assert line.startswith("bad key *** xxx")
    assert "\n" not in line
    assert len(line) < 510
