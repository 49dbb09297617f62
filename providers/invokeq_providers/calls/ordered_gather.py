"""Concurrent jobs of one call, with results in order."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")

Job = Callable[[], Coroutine[Any, Any, T]]


async def ordered_gather(jobs: Iterable[Job[T]], bound: int) -> AsyncGenerator[T, None]:
    """Yield the results of the jobs in order, each result as soon as all earlier ones are yielded.

    At most `bound` jobs are started ahead of the reader: a slow reader gives backpressure, and the
    iterable is read no further. The first failed job, in order, ends the generator with the job's
    error. Closing the generator, or an error, cancels all running jobs and awaits their end.
    """
    running: deque[asyncio.Task[T]] = deque()
    waiting = iter(jobs)
    try:
        while True:
            while len(running) < bound and (job := next(waiting, None)) is not None:
                running.append(asyncio.create_task(job()))
            if not running:
                return
            # The task leaves the deque only after the await: when a cancellation hits the await,
            # `finally` must still find the task, to wait for the end of the job.
            result = await running[0]
            running.popleft()
            yield result
    finally:
        for task in running:
            task.cancel()
        # Wait for the cancelled tasks, so that no connection outlives the call.
        await asyncio.gather(*running, return_exceptions=True)
