"""What is to be done about a vendor call that failed."""

import pytest

from invokeq.protocol.errors import (
    CredentialsError,
    InternalError,
    InvokeqError,
    ProviderSilenceError,
    ProviderUnavailableError,
    RateLimitedError,
    RejectedByProviderError,
    UnusableAnswerError,
)
from invokeq_worker.config.retry_policy import RetryPolicy, allows_fallback, retry_wait

POLICY = RetryPolicy(calls=5, base=1.0, cap=6.0, longest_wait=60.0)
FAULT = ProviderUnavailableError(detail="x")


@pytest.mark.parametrize(("made", "longest"), [(1, 1.0), (2, 2.0), (3, 4.0), (4, 6.0)])
def test_the_backoff_doubles_up_to_the_cap_and_chance_takes_a_share(
    made: int, longest: float
) -> None:
    waits = [retry_wait(FAULT, made, POLICY, left=None, chance=c) for c in (0.0, 0.5, 1.0)]
    assert waits == [0.0, longest / 2, longest]


def test_no_more_calls_than_the_policy_allows() -> None:
    assert retry_wait(FAULT, 5, POLICY, left=None, chance=0.0) is None


def test_what_the_vendor_asks_for_is_the_least() -> None:
    asked = RateLimitedError(detail="x", retry_after=10.0)
    assert retry_wait(asked, 1, POLICY, left=None, chance=0.0) == 10.0
    assert retry_wait(asked, 1, POLICY, left=None, chance=1.0) == 11.0
    too_long = RateLimitedError(detail="x", retry_after=61.0)
    assert retry_wait(too_long, 1, POLICY, left=None, chance=0.0) is None


def test_a_kept_connection_that_was_gone_is_no_reason_to_wait() -> None:
    """Fails without `at_once`: tried."""
    gone = ProviderUnavailableError(detail="x", reconnect=True)
    assert retry_wait(gone, 1, POLICY, left=None, chance=1.0) == 0.0
    assert retry_wait(gone, 2, POLICY, left=None, chance=1.0) == 2.0
    assert retry_wait(gone, 1, RetryPolicy(calls=1), left=None, chance=0.0) is None


def test_a_wait_that_reaches_the_deadline_is_no_use() -> None:
    assert retry_wait(FAULT, 3, POLICY, left=4.1, chance=1.0) == 4.0
    assert retry_wait(FAULT, 3, POLICY, left=4.0, chance=1.0) is None
    assert retry_wait(FAULT, 1, POLICY, left=-1.0, chance=0.0) is None


@pytest.mark.parametrize(
    ("error", "again", "elsewhere"),
    [
        (FAULT, True, True),
        (RateLimitedError(detail="x"), True, True),
        (ProviderSilenceError(seconds=1), False, True),
        (CredentialsError(problem="x"), False, True),
        (RejectedByProviderError(status=400, detail="x"), False, False),
        (UnusableAnswerError(problem="x"), False, False),
        (InternalError(detail="x"), False, False),
    ],
)
def test_which_faults_pass(error: InvokeqError, again: bool, elsewhere: bool) -> None:
    assert (retry_wait(error, 1, POLICY, left=None, chance=0.0) is not None) is again
    assert allows_fallback(error) is elsewhere
