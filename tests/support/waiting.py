"""Waits for a named condition, so that no test needs a pause of a guessed length."""

import asyncio
import threading
import time
from collections.abc import Callable

BOUND_SECONDS = 10.0
"""Far more than anything waited for takes; reached only when the test is about to fail."""

_POLL_SECONDS = 0.01


def eventually(
    what: str, condition: Callable[[], object], *, within: float = BOUND_SECONDS
) -> None:
    """Return once `condition()` is true; fail with `what` after `within` seconds."""
    give_up_at = time.monotonic() + within
    pause = threading.Event()
    while not condition():
        if time.monotonic() > give_up_at:
            raise AssertionError(f"not within {within:g} s: {what}")
        pause.wait(_POLL_SECONDS)


async def eventually_async(
    what: str, condition: Callable[[], object], *, within: float = BOUND_SECONDS
) -> None:
    """Do what `eventually` does without blocking the loop."""
    give_up_at = time.monotonic() + within
    while not condition():
        if time.monotonic() > give_up_at:
            raise AssertionError(f"not within {within:g} s: {what}")
        await asyncio.sleep(_POLL_SECONDS)
