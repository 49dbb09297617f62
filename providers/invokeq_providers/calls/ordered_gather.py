"""Runs pieces of one call side by side, and gives their results in order."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")

Job = Callable[[], Coroutine[Any, Any, T]]


async def ordered_gather(jobs: Iterable[Job[T]], bound: int) -> AsyncGenerator[T, None]:
    """Give the results of the jobs in order, each as soon as all before it are given.

    At most `bound` jobs have begun and are not given yet; no more are taken from the iterable. The
    first job, in order, that fails ends it with its error. Closing it, or an error, cancels what
    still runs and waits until that has ended.
    """
    running: deque[asyncio.Task[T]] = deque()
    waiting = iter(jobs)
    try:
        while True:
            while len(running) < bound and (job := next(waiting, None)) is not None:
                running.append(asyncio.create_task(job()))
            if not running:
                return
            result = await running[0]
            running.popleft()
            yield result
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
