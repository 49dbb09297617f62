"""The vendor calls of one invocation: how many were made, which of them failed, and what came next.

One call is made after the other where one stands in for the other: at no time do two of them run
for the same piece of an answer.
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
    """A vendor call that failed; after `wait` seconds `next` is called, or nobody any more."""

    error: InvokeqError
    model: ModelRef
    call: int
    wait: float
    next: ModelRef | None


class VendorCalls:
    """Counts the calls of one invocation and waits between them; `tell` hears of failed ones."""

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
        """A vendor is called."""
        self.made += 1

    async def failed(self, error: InvokeqError, model: ModelRef, made: int) -> None:
        """Wait until the vendor may be asked again, or raise `error` if it may not.

        `made` is how many calls were made for this one piece of the answer.
        """
        left = None if self._deadline is None else self._deadline - time.time()
        policy = self._policy_of(model.provider)
        wait = retry_wait(error, made, policy, left=left, chance=self._chance())
        if wait is None:
            raise error
        self.report_failure(error, model, model, wait)
        await asyncio.sleep(wait)

    def report_failure(
        self, error: InvokeqError, model: ModelRef, then: ModelRef | None, wait: float = 0.0
    ) -> None:
        """Write a failed call down, with what is done about it."""
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
