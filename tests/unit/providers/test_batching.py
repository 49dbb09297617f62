"""Calls of several callers in one batch, with a model under the control of the test."""

import asyncio
from collections.abc import Callable, Sequence

import pytest

from invokeq.protocol.errors import (
    CredentialsError,
    InvokeqError,
    ProviderUnavailableError,
    RateLimitedError,
    RejectedByProviderError,
)
from invokeq_providers.wrappers.batching import MicroBatcher, split_exactly


class Model:
    """A model that answers `x` with `X`, waits while `held`, and fails for texts in `refused`."""

    def __init__(self, *, held: bool = False) -> None:
        self.calls: list[list[str]] = []
        self.cancelled: list[list[str]] = []
        self.running = self.peak = 0
        self.refused: dict[str, Exception] = {}
        self.alive: Callable[[], None] = lambda: None
        self.let = asyncio.Event()
        if not held:
            self.let.set()

    async def __call__(self, asks: Sequence[str], alive: Callable[[], None]) -> Sequence[str]:
        self.calls.append(list(asks))
        self.alive = alive
        self.running += 1
        self.peak = max(self.peak, self.running)
        try:
            await self.let.wait()
        except asyncio.CancelledError:
            self.cancelled.append(list(asks))
            raise
        finally:
            self.running -= 1
        for ask in asks:
            if ask in self.refused:
                raise self.refused[ask]
        return [ask.upper() for ask in asks]


class Callers:
    """Callers of one batcher; the size of a call is the number of letters."""

    def __init__(self, model: Model, at_once: int | None = 1, wait_s: float = 0.0) -> None:
        self.batcher = MicroBatcher[str, str, str](model, concurrency=at_once, wait_s=wait_s)
        self.heard: list[str] = []

    def ask(self, *asks: str, key: str = "m", limit: int = 4) -> list[asyncio.Task[str]]:
        return [asyncio.create_task(self._ask(key, ask, limit)) for ask in asks]

    async def _ask(self, key: str, ask: str, limit: int) -> str:
        def alive() -> None:
            self.heard.append(ask)

        return await self.batcher.submit(key, ask, size=len(ask), limit=limit, heartbeat=alive)


async def turns() -> None:
    """Run all tasks until each one waits."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_what_comes_while_a_call_runs_goes_together_in_the_next() -> None:
    """Without the bound on concurrent calls, each call goes alone, as at another key."""
    model = Model(held=True)
    callers = Callers(model)
    tasks = callers.ask("a")
    await turns()
    for late in ("b", "c", "d"):
        tasks += callers.ask(late)
        await turns()
    assert model.calls == [["a"]]
    tasks += callers.ask("z", key="n")
    await turns()
    assert model.calls == [["a"], ["z"]]
    model.let.set()
    assert await asyncio.gather(*tasks) == ["A", "B", "C", "D", "Z"]
    assert model.calls == [["a"], ["z"], ["b", "c", "d"]]


async def test_who_asks_in_the_same_turn_of_the_loop_goes_together() -> None:
    model = Model()
    callers = Callers(model)
    assert await asyncio.gather(*callers.ask("a", "b", "c")) == ["A", "B", "C"]
    assert model.calls == [["a", "b", "c"]]


async def test_a_call_keeps_to_its_limit_and_asks_to_their_order() -> None:
    model = Model()
    callers = Callers(model)
    asks = ["aa", "bb", "c", "dd", "eeeeee", "f"]
    assert await asyncio.gather(*callers.ask(*asks)) == [ask.upper() for ask in asks]
    assert model.calls == [["aa", "bb"], ["c", "dd"], ["eeeeee"], ["f"]]
    assert model.peak == 1


async def test_a_full_call_waits_neither_for_company_nor_for_others() -> None:
    model = Model(held=True)
    callers = Callers(model, at_once=None, wait_s=3600)
    tasks = callers.ask("aa")
    await turns()
    assert model.calls == []
    tasks += callers.ask("bb", "cccc", "d")
    await turns()
    assert model.calls == [["aa", "bb"], ["cccc"]]
    assert model.peak == 2
    tasks += callers.ask("eee")
    model.let.set()
    assert await asyncio.gather(*tasks) == ["AA", "BB", "CCCC", "D", "EEE"]


async def test_nobody_waits_longer_than_the_bound() -> None:
    """Without the timer the call would wait for ever, as in the test before."""
    model = Model(held=True)
    callers = Callers(model, at_once=None, wait_s=0.01)
    loop = asyncio.get_running_loop()
    began = loop.time()
    model.let.set()
    assert await asyncio.gather(*callers.ask("a", "b")) == ["A", "B"]
    assert model.calls == [["a", "b"]]
    assert loop.time() - began >= 0.01


async def test_one_who_leaves_disturbs_nobody() -> None:
    model = Model(held=True)
    callers = Callers(model)
    first = callers.ask("a", "b")
    await turns()
    waiting = callers.ask("c", "d")
    await turns()
    for gone in (first[0], waiting[0]):
        gone.cancel()
    await turns()
    assert first[0].cancelled()
    assert waiting[0].cancelled()
    assert model.cancelled == []
    model.let.set()
    assert await asyncio.gather(first[1], waiting[1]) == ["B", "D"]
    assert model.calls == [["a", "b"], ["d"]]


async def test_a_call_for_nobody_is_cancelled_and_makes_room() -> None:
    model = Model(held=True)
    callers = Callers(model)
    first = callers.ask("a", "b")
    await turns()
    (last,) = callers.ask("c")
    await turns()
    first[0].cancel()
    first[1].cancel()
    await turns()
    assert model.cancelled == [["a", "b"]]
    assert model.calls == [["a", "b"], ["c"]]
    model.let.set()
    assert await last == "C"


async def test_one_bad_ask_fails_alone() -> None:
    """Without asking each alone, all three fail."""
    model = Model()
    model.refused["b"] = RejectedByProviderError(status=400, detail="b", provider="p", model="m")
    callers = Callers(model)
    tasks = callers.ask("a", "b", "c")
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert (answers[0], answers[2]) == ("A", "C")
    assert answers[1] is model.refused["b"]
    assert model.calls == [["a", "b", "c"], ["a"], ["b"], ["c"]]


async def test_one_who_left_is_not_asked_alone() -> None:
    model = Model(held=True)
    model.refused["b"] = ValueError("a bug")
    callers = Callers(model)
    tasks = callers.ask("a", "b", "c")
    await turns()
    tasks[0].cancel()
    model.let.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(answer) for answer in answers] == [asyncio.CancelledError, ValueError, str]
    assert model.calls == [["a", "b", "c"], ["b"], ["c"]]


@pytest.mark.parametrize(
    "error",
    [
        RateLimitedError(provider="p", model="m", detail="d", retry_after=3.0),
        ProviderUnavailableError(provider="p", model="m", detail="HTTP 500", chunks=0),
        CredentialsError(provider="p", problem="refused"),
    ],
)
async def test_what_is_nobodys_fault_is_an_error_of_each(error: InvokeqError) -> None:
    model = Model()
    model.refused["b"] = error
    answers = await asyncio.gather(*Callers(model).ask("a", "b"), return_exceptions=True)
    first, second = answers
    assert isinstance(first, InvokeqError)
    assert isinstance(second, InvokeqError)
    assert first.to_wire() == second.to_wire() == error.to_wire()
    assert model.calls == [["a", "b"]]
    first.calls = 3
    assert "calls" not in second.fields


async def test_all_who_wait_hear_that_the_model_is_alive() -> None:
    model = Model(held=True)
    callers = Callers(model)
    tasks = callers.ask("a", "b")
    await turns()
    tasks += callers.ask("c")
    await turns()
    tasks[1].cancel()
    await turns()
    model.alive()
    assert callers.heard == ["a", "c"]
    model.let.set()
    await asyncio.gather(tasks[0], tasks[2])


async def test_what_was_asked_leaves_nothing_behind() -> None:
    model = Model()
    callers = Callers(model, wait_s=0.001)
    for number in range(20):
        await asyncio.gather(*callers.ask("a", "b", key=str(number)))
    (gone,) = callers.ask("a", key="gone")
    await turns()
    gone.cancel()
    await turns()
    assert vars(callers.batcher)["_queues"] == {}


@pytest.mark.parametrize(
    ("total", "weights", "parts"),
    [
        (10, [1, 1], [5, 5]),
        (10, [1, 1, 1], [3, 3, 4]),
        (1, [5, 5], [0, 1]),
        (7, [3, 0, 4], [3, 0, 4]),
    ],
)
def test_parts_add_up(total: int, weights: list[int], parts: list[int]) -> None:
    assert split_exactly(total, weights) == parts
    assert sum(parts) == total
