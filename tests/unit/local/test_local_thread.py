"""The thread of a local model, with work under the control of tests."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest

from invokeq.protocol.errors import (
    InternalError,
    InvalidConfigurationError,
    InvalidRequestError,
    InvocationCancelledError,
)
from invokeq_providers.local import thread
from invokeq_providers.local.thread import Stop, ThreadedModel
from tests.support.waiting import eventually_async


class Gate:
    """Work that waits, with checks of the `Stop`, until opened by the test."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.open = threading.Event()
        self.stopped = False

    def __call__(self, loaded: str, stop: Stop) -> str:
        self.begun.set()
        while not self.open.wait(0.001):
            try:
                stop.check()
            except InvocationCancelledError:
                self.stopped = True
                raise
        return loaded


@pytest.fixture
async def model() -> AsyncGenerator[ThreadedModel[str], None]:
    made = ThreadedModel("local/m", lambda: "loaded")
    yield made
    await made.close()


async def test_loads_once_whatever_comes_first() -> None:
    loads: list[int] = []
    model = ThreadedModel("local/m", lambda: loads.append(threading.get_ident()) or "loaded")
    assert await model.run(lambda loaded, _: loaded) == "loaded"
    await model.load()
    assert len(loads) == 1
    assert loads[0] != threading.get_ident()
    await model.close()


async def test_calls_run_one_at_a_time_in_their_order(model: ThreadedModel[str]) -> None:
    gate = Gate()
    order: list[int] = []
    first = asyncio.create_task(model.run(gate))
    await eventually_async("the first begins", gate.begun.is_set)
    assert model.busy
    others = [asyncio.create_task(model.run(lambda _, __, i=i: order.append(i))) for i in range(5)]
    await asyncio.wait(others, timeout=0)
    assert order == []
    gate.open.set()
    assert await first == "loaded"
    await asyncio.gather(*others)
    assert order == [0, 1, 2, 3, 4]
    assert not model.busy


async def test_a_call_that_is_cancelled_is_told_to_stop(model: ThreadedModel[str]) -> None:
    gate = Gate()
    task = asyncio.create_task(model.run(gate))
    await eventually_async("it begins", gate.begun.is_set)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    await eventually_async("it stops", lambda: gate.stopped)
    assert await model.run(lambda loaded, _: loaded) == "loaded"


async def test_a_call_that_is_cancelled_in_the_queue_never_starts(
    model: ThreadedModel[str],
) -> None:
    gate = Gate()
    begun: list[str] = []
    first = asyncio.create_task(model.run(gate))
    await eventually_async("the first begins", gate.begun.is_set)
    waiting = asyncio.create_task(model.run(lambda loaded, _: begun.append(loaded)))
    await asyncio.wait({waiting}, timeout=0)
    waiting.cancel()
    await asyncio.wait({waiting})
    gate.open.set()
    await first
    await model.load()
    assert begun == []


async def test_closing_stops_what_runs_and_what_waits() -> None:
    model = ThreadedModel("local/m", lambda: "loaded")
    gate = Gate()
    running = asyncio.create_task(model.run(gate))
    await eventually_async("it begins", gate.begun.is_set)
    waiting = asyncio.create_task(model.run(lambda loaded, _: loaded))
    await asyncio.wait({waiting}, timeout=0)
    await model.close()
    for task in (running, waiting):
        with pytest.raises(InvocationCancelledError) as caught:
            await task
        assert caught.value.reason == "shutdown"
    await model.close()


async def test_a_model_that_cannot_be_loaded_is_named() -> None:
    def loader() -> str:
        raise OSError("bad weights")

    model = ThreadedModel("local/m", loader)
    for attempt in (model.load(), model.run(lambda loaded, _: loaded)):
        with pytest.raises(InvalidConfigurationError, match=r"model local/m: .*bad weights"):
            await attempt
    await model.close()


def _fails(error: Exception) -> Callable[[str, Stop], None]:
    def work(loaded: str, stop: Stop) -> None:
        raise error

    return work


async def test_a_fault_of_a_library_becomes_ours(model: ThreadedModel[str]) -> None:
    with pytest.raises(InternalError, match="local/m: ZeroDivisionError: oh"):
        await model.run(_fails(ZeroDivisionError("oh")))
    with pytest.raises(InvalidRequestError, match="file: oh"):
        await model.run(_fails(InvalidRequestError(field="file", problem="oh")))
    assert not model.busy


async def test_all_who_wait_are_alive_while_the_model_gets_on(
    model: ThreadedModel[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thread, "_ALIVE_S", 0.001)
    gate = Gate()
    signs: list[str] = []
    running = asyncio.create_task(model.run(gate, lambda: signs.append("running")))
    waiting = asyncio.create_task(
        model.run(lambda loaded, _: loaded, lambda: signs.append("waiting"))
    )
    await eventually_async("both are alive", lambda: {"running", "waiting"} == set(signs))
    gate.open.set()
    await asyncio.gather(running, waiting)


async def test_a_model_that_hangs_is_silent(
    model: ThreadedModel[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    wait: Any = asyncio.wait

    def counted(*args: Any, **options: Any) -> Any:
        nonlocal looks
        looks += 1
        return wait(*args, **options)

    monkeypatch.setattr(thread, "_ALIVE_S", 0.001)
    begun, hang = threading.Event(), threading.Event()
    signs: list[str] = []

    def work(loaded: str, stop: Stop) -> None:
        begun.set()
        hang.wait()

    task = asyncio.create_task(model.run(work, lambda: signs.append("alive")))
    await eventually_async("it begins", begun.is_set)
    monkeypatch.setattr(asyncio, "wait", counted)
    await eventually_async("the thread was looked at often", lambda: looks > 5)
    assert len(signs) <= 1
    hang.set()
    await task
