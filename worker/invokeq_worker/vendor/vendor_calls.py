"""The vendor calls of one invocation: their number, the failures, and the next step after each.

Attempts for one part of an answer run one after the other. No two calls for the same part ever run
at the same time.
"""

import asyncio
import random
import time
from collections.abc import Callable
from typing import Final, NamedTuple

import structlog

from invokeq.protocol.errors import InvokeqError
from invokeq_worker.config.retry_policy import RetryPolicy, retry_wait
from invokeq_worker.config.values import ModelRef
from invokeq_worker.vendor.usage_meter import UsageMeter

log: Final = structlog.get_logger(__name__)


class FailedCall(NamedTuple):
    """A failed vendor call; after `wait` seconds `next` is called, None means no more calls."""

    error: InvokeqError
    model: ModelRef
    call: int
    wait: float
    next: ModelRef | None


class VendorCalls:
    """Counter of one invocation's calls, with waits between retries; `tell` gets failed calls.

    `deadline` is in seconds since the epoch. `chance` returns a number in [0, 1) for the jitter.
    """

    def __init__(
        self,
        request_id: str,
        policy_of: Callable[[str], RetryPolicy],
        deadline: float | None,
        tell: Callable[[FailedCall], None],
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.made: int = 0
        self.usage_meter: UsageMeter = UsageMeter()
        self._request_id = request_id
        self._policy_of = policy_of
        self._deadline = deadline
        self._tell = tell
        self._chance = chance

    def count(self) -> None:
        """Count one vendor call."""
        self.made += 1

    async def failed(self, error: InvokeqError, model: ModelRef, made: int) -> None:
        """Wait until the next retry, or raise `error` if the policy or deadline allows none.

        `made` is the number of calls made for the same part of the answer.
        """
        left = None if self._deadline is None else self._deadline - time.time()
        policy = self._policy_of(model.provider)
        wait = retry_wait(error, made, policy, left=left, chance=self._chance())
        if wait is None:
            raise error
        # Reported before the wait, so that readers see a retry instead of silence.
        self.report_failure(error, model, model, wait)
        await asyncio.sleep(wait)

    def report_failure(
        self, error: InvokeqError, model: ModelRef, then: ModelRef | None, wait: float = 0.0
    ) -> None:
        """Log and publish a failed call with the next model and the wait in seconds."""
        log.warning(
            "vendor call failed",
            request_id=self._request_id,
            model=str(model),
            code=error.code,
            problem=str(error),
            wait=round(wait, 3),
            next=str(then) if then else None,
        )
        self._tell(FailedCall(error, model, self.made, wait, then))
