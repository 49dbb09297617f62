"""Wait for a named condition, so that no test needs a pause of a guessed length."""

import asyncio
import threading
import time
from collections.abc import Callable

BOUND_SECONDS = 25.0
"""How long a condition may take: far longer than needed, also with a load of five a core.

Still below 30 s, the default of the orphan timeout and the grace time. With a longer bound, the
test of a short timeout would pass even if the timeout was ignored.
"""

START_SECONDS = 60.0
"""How long a process may take to start or end, or a subprocess to run."""

_POLL_SECONDS = 0.01


def eventually(
    what: str, condition: Callable[[], object], *, within: float = BOUND_SECONDS
) -> None:
    """Wait until `condition()` is true; fail with `what` after `within` seconds."""
    give_up_at = time.monotonic() + within
    pause = threading.Event()
    while not condition():
        if time.monotonic() > give_up_at:
            raise AssertionError(f"not within {within:g} s: {what}")
        pause.wait(_POLL_SECONDS)


async def eventually_async(
    what: str, condition: Callable[[], object], *, within: float = BOUND_SECONDS
) -> None:
    """Wait as `eventually` does, without blocking the loop."""
    give_up_at = time.monotonic() + within
    while not condition():
        if time.monotonic() > give_up_at:
            raise AssertionError(f"not within {within:g} s: {what}")
        await asyncio.sleep(_POLL_SECONDS)
