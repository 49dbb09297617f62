"""Jobs run concurrently within a bound, and the results come in order."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import aclosing
from functools import partial
from typing import Any

import pytest

from invokeq_providers.calls.ordered_gather import ordered_gather


class Jobs:
    """Jobs that end with a future, and a record of each job's outcome."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.begun: list[int] = []
        self.cancelled: list[int] = []
        self.futures: list[asyncio.Future[str]] = [
            asyncio.get_running_loop().create_future() for _ in range(count)
        ]

    def __iter__(self) -> Iterator[Callable[[], Coroutine[Any, Any, str]]]:
        return (partial(self._job, n) for n in range(self.count))

    async def _job(self, n: int) -> str:
        self.begun.append(n)
        try:
            return await self.futures[n]
        except asyncio.CancelledError:
            self.cancelled.append(n)
            raise

    def end(self, *numbers: int) -> None:
        for n in numbers:
            self.futures[n].set_result(f"r{n}")


async def turns(number: int = 5) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def test_results_come_in_order_though_jobs_end_in_another() -> None:
    jobs = Jobs(3)
    jobs.end(2, 1)
    results = ordered_gather(jobs, 3)
    first = asyncio.ensure_future(anext(results))
    await turns()
    assert not first.done()
    jobs.end(0)
    assert [await first, await anext(results), await anext(results)] == ["r0", "r1", "r2"]
    with pytest.raises(StopAsyncIteration):
        await anext(results)


async def test_a_result_is_given_before_the_next_job_has_ended() -> None:
    jobs = Jobs(2)
    jobs.end(0)
    async with aclosing(ordered_gather(jobs, 2)) as results:
        assert await anext(results) == "r0"


async def test_no_more_than_the_bound_are_begun_and_not_given() -> None:
    jobs = Jobs(5)
    jobs.end(1, 2)
    results = ordered_gather(jobs, 3)
    first = asyncio.ensure_future(anext(results))
    await turns()
    assert jobs.begun == [0, 1, 2]
    jobs.end(0)
    await first
    await turns()
    assert jobs.begun == [0, 1, 2]  # nobody has asked for more
    assert await anext(results) == "r1"
    await turns()
    assert jobs.begun == [0, 1, 2, 3]
    await results.aclose()


async def test_an_error_comes_after_the_results_before_it_and_cancels_the_rest() -> None:
    jobs = Jobs(4)
    jobs.end(0)
    jobs.futures[1].set_exception(ValueError("one"))
    results = ordered_gather(jobs, 4)
    assert await anext(results) == "r0"
    with pytest.raises(ValueError, match="one"):
        await anext(results)
    assert jobs.cancelled == [2, 3]


async def test_errors_behind_the_first_are_not_reported_as_lost(
    caplog: pytest.LogCaptureFixture,
) -> None:
    jobs = Jobs(2)
    for future in jobs.futures:
        future.set_exception(ValueError("both"))
    with pytest.raises(ValueError, match="both"):
        await anext(ordered_gather(jobs, 2))
    assert caplog.records == []


async def test_closing_cancels_what_runs_and_waits_for_its_end() -> None:
    jobs = Jobs(3)
    jobs.end(0)
    results = ordered_gather(jobs, 3)
    await anext(results)
    await results.aclose()
    assert jobs.cancelled == [1, 2]


async def test_a_consumer_that_is_cancelled_cancels_all() -> None:
    jobs = Jobs(2)

    async def consume() -> None:
        async with aclosing(ordered_gather(jobs, 2)) as results:
            async for _ in results:
                pass

    task = asyncio.create_task(consume())
    await turns()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(jobs.cancelled) == [0, 1]


async def test_no_jobs_give_no_results() -> None:
    assert [result async for result in ordered_gather(Jobs(0), 3)] == []
