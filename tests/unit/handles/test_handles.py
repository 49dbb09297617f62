"""A handle remembers its answer, and leaving it cancels: sync, asyncio and fake are one code."""

import asyncio
import gc
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from invokeq import invocation_base
from invokeq.errors import (
    InvocationCancelledError,
    MisuseError,
    PartialAnswerError,
    ProviderUnavailableError,
)
from invokeq.hold import Hold
from invokeq.keeper import Keeper
from invokeq.operations.answer_log import AnswerLog
from invokeq.operations.reader import Reader
from invokeq.protocol.events import START, Event, EventId, EventKind
from invokeq.protocol.lease import parse_lease
from invokeq.protocol.redis import keys
from invokeq.testing import FakeAsyncSession, FakeSession
from invokeq.testing.memory_redis import MemoryRedis
from invokeq.testing.transport import FakeTransport

CONFIG: dict[str, Any] = {"provider": "openai", "model": "m", "mode": "chat"}
HELLO: list[Any] = [{"role": "user", "content": "hi"}]
ANSWER = "one two three"


def started(*answers: Any) -> tuple[FakeSession, Any]:
    session = FakeSession()
    session.model.llm.answers(*(answers or (ANSWER,)))
    return session, session.model.llm.submit(CONFIG, HELLO)


def text_of(chunks: Any) -> str:
    return "".join(chunk.delta.message.content for chunk in chunks)


def test_a_handle_gives_the_same_answer_however_often() -> None:
    _, handle = started()
    first = list(handle)
    assert text_of(first) == ANSWER
    assert list(handle) == first
    result = handle.result()
    assert result.message.content == ANSWER
    assert handle.result() is result
    assert list(handle) == first


def test_the_result_is_whole_after_a_part_was_iterated() -> None:
    _, handle = started()
    items = iter(handle)
    next(items)
    assert handle.result().message.content == ANSWER
    assert text_of(items) == "two three"


def test_two_iterations_at_the_same_time_are_each_whole() -> None:
    _, handle = started()
    assert text_of(a for a, b in zip(handle, handle, strict=True) if a == b) == ANSWER


def test_a_bad_end_is_told_each_time_after_what_was_read() -> None:
    _, handle = started(["one ", ProviderUnavailableError(status=500, detail="broken")])
    for _ in range(2):
        read: list[Any] = []
        with pytest.raises(ProviderUnavailableError, match="broken"):
            read.extend(handle)
        assert text_of(read) == "one "
        with pytest.raises(ProviderUnavailableError):
            handle.result()


def test_after_a_break_what_was_read_comes_again_and_then_the_cancel() -> None:
    _, handle = started()
    for _ in handle:
        break
    assert handle.status().state == "cancelled"
    read: list[Any] = []
    with pytest.raises(InvocationCancelledError) as caught:
        read.extend(handle)
    assert caught.value.reason == "caller"
    assert text_of(read) == "one "
    with pytest.raises(InvocationCancelledError):
        handle.result()


def test_a_detached_handle_goes_on_after_a_break() -> None:
    session = FakeSession()
    session.model.llm.answers(ANSWER)
    handle = session.model.llm.submit(CONFIG, HELLO, detached=True)
    for _ in handle:
        break
    assert handle.result().message.content == ANSWER


def test_a_detached_handle_that_was_closed_says_so() -> None:
    session = FakeSession()
    session.model.llm.answers(ANSWER)
    with session.model.llm.submit(CONFIG, HELLO, detached=True) as handle:
        next(iter(handle))
    with pytest.raises(MisuseError, match="attach after 1-1"):
        handle.result()


def test_an_answer_that_is_too_large_is_read_once() -> None:
    _, handle = started()
    handle._log = AnswerLog(1)
    assert text_of(handle) == ANSWER
    for again in (lambda: list(handle), handle.result):
        with pytest.raises(PartialAnswerError, match="kept"):
            again()
    _, unread = started()
    unread._log = AnswerLog(1)
    assert unread.result() is unread.result()  # the caller has asked for the whole


@pytest.mark.parametrize("way", ["break", "error", "close", "drop", "session"])
@pytest.mark.parametrize("kind", ["invoke", "submit"])
def test_leaving_a_fake_cancels(way: str, kind: str) -> None:
    session = FakeSession()
    session.model.llm.answers(ANSWER)
    answer: Any = getattr(session.model.llm, kind)(CONFIG, HELLO)
    gc.disable()
    try:
        items = iter(answer)
        next(items)
        if way == "error":
            with suppress(RuntimeError):
                for _ in items:
                    raise RuntimeError
        elif way == "close":
            answer.close()
        elif way == "session" and kind == "submit":
            session.close()
        del items, answer
        (request_id,) = session.request_ids
        assert session.attach(request_id).status().state == "cancelled"
    finally:
        gc.enable()


@pytest.mark.parametrize("kind", ["invoke", "submit"])
@pytest.mark.parametrize("way", ["break", "close", "drop"])
def test_leaving_a_fake_cancels_on_asyncio(way: str, kind: str) -> None:
    async def scenario() -> None:
        session = FakeAsyncSession()
        session.model.llm.answers(ANSWER)
        answer: Any = getattr(session.model.llm, kind)(CONFIG, HELLO)
        answer = await answer if kind == "submit" else answer
        items = aiter(answer)
        await anext(items)
        if way == "close":
            await (answer.aclose() if kind == "invoke" else answer.close())
        del items, answer
        (request_id,) = session.request_ids
        assert (await session.attach(request_id).status()).state == "cancelled"

    gc.disable()
    try:
        asyncio.run(scenario())
    finally:
        gc.enable()


def test_an_async_handle_remembers() -> None:
    async def scenario() -> None:
        session = FakeAsyncSession()
        session.model.llm.answers(ANSWER)
        handle = await session.model.llm.submit(CONFIG, HELLO)
        first = [item async for item in handle]
        assert [item async for item in handle] == first
        assert (await handle.result()).message.content == ANSWER
        assert await handle.result() is await handle.result()

    asyncio.run(scenario())


def test_a_session_on_a_second_loop_says_so_at_once() -> None:
    session = FakeAsyncSession()
    session.model.llm.answers(ANSWER, ANSWER)

    async def ask() -> Any:
        return await session.model.llm.invoke(CONFIG, HELLO, stream=False)

    assert asyncio.run(ask()).message.content == ANSWER
    with pytest.raises(MisuseError, match="one for each loop"):
        asyncio.run(ask())


def test_two_threads_cannot_read_one_handle(monkeypatch: pytest.MonkeyPatch) -> None:
    _, handle = started()
    inside, go_on = threading.Event(), threading.Event()
    read = FakeTransport.once

    def waits(self: FakeTransport, batch: Any) -> Any:
        inside.set()
        assert go_on.wait(30)
        return read(self, batch)

    monkeypatch.setattr(FakeTransport, "once", waits)
    reader = threading.Thread(target=handle.result)
    reader.start()
    assert inside.wait(30)
    with pytest.raises(MisuseError, match="another thread"):
        handle.result()
    go_on.set()
    reader.join()
    assert handle.result().message.content == ANSWER


class Clock:
    """Time that passes when it is told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("invokeq.operations.lease.time.monotonic", clock)
    return clock


def hold_of(number: int) -> Hold:
    reader = Reader(
        f"{number:032x}",
        "llm:acme",
        after=START,
        pickup_timeout=60,
        orphan_timeout=30,
        retry_for_seconds=1,
        holds_lease=True,
        known=True,
    )
    return Hold(reader, detached=False)


class Rig:
    """A keeper whose thread is not started, and the batches that it sends."""

    def __init__(self) -> None:
        self.redis = MemoryRedis()
        self.trips = 0
        self.keeper = Keeper(lambda: CountingTransport(self))
        self.keeper._start = lambda: None  # type: ignore[method-assign]

    def lease(self, hold: Hold) -> Any:
        return self.redis.run("GET", keys.reader(hold.reader.request_id))

    def renew(self) -> None:
        self.keeper.renew_due()


class CountingTransport(FakeTransport):
    def __init__(self, rig: Rig) -> None:
        super().__init__(rig.redis)
        self.rig = rig

    def once(self, batch: Any) -> Any:
        self.rig.trips += 1
        return super().once(batch)


def test_all_due_leases_are_renewed_in_one_round_trip(clock: Clock) -> None:
    rig = Rig()
    holds = [hold_of(number) for number in range(200)]
    for hold in holds:
        rig.keeper.keep(hold)
    rig.renew()
    assert rig.trips == 0
    clock.now = 11.0
    rig.renew()
    assert rig.trips == 1
    assert {rig.lease(hold) for hold in holds} == {b"0-0 1"}
    clock.now = 15.0
    rig.renew()
    assert rig.trips == 1


def test_a_renewal_tells_how_far_the_caller_has_read(clock: Clock) -> None:
    rig, hold = Rig(), hold_of(1)
    rig.keeper.keep(hold)
    hold.reader.taken(Event(EventId(1, 7), EventKind.CHUNK, {}))
    clock.now = 11.0
    rig.renew()
    assert parse_lease(rig.lease(hold)).position == EventId(1, 7)


def test_a_caller_in_the_middle_of_a_read_renews_by_itself(clock: Clock) -> None:
    rig, hold = Rig(), hold_of(1)
    rig.keeper.keep(hold)
    hold.use()
    clock.now = 11.0
    rig.renew()
    assert rig.trips == 0
    hold.release()
    rig.renew()
    assert rig.trips == 1


def test_an_order_that_the_keeper_has_overwritten_is_put_back(clock: Clock) -> None:
    rig, hold = Rig(), hold_of(1)
    rig.keeper.keep(hold)
    rig.redis.run("SET", keys.reader(hold.reader.request_id), b"cancel:operator")
    clock.now = 11.0
    rig.renew()
    assert rig.lease(hold) == b"cancel:operator"
    clock.now = 50.0
    rig.renew()
    assert rig.lease(hold) == b"cancel:operator"


def test_a_renewal_that_failed_is_tried_again(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig, hold = Rig(), hold_of(1)
    rig.keeper.keep(hold)
    clock.now = 11.0
    with monkeypatch.context() as broken:
        broken.setattr(Keeper, "_run", refused)
        rig.renew()
    rig.renew()
    assert rig.trips == 1


def refused(keeper: Keeper, plans: list[Any]) -> bool:
    del keeper, plans
    return False


@pytest.mark.parametrize("left", ["leave", "drop", "forget"])
def test_what_was_left_is_not_renewed(clock: Clock, left: str) -> None:
    rig, hold = Rig(), hold_of(1)
    rig.keeper.keep(hold)
    getattr(rig.keeper, left)(hold)
    clock.now = 11.0
    rig.renew()
    assert rig.trips == 0


def test_a_fork_drops_without_leaving(monkeypatch: pytest.MonkeyPatch) -> None:
    hold = hold_of(1)
    monkeypatch.setattr("invokeq.hold.os.getpid", lambda: -1)
    assert not hold.drop()
    assert hold.is_open
    hold.use()  # the child reads on by itself
    hold.release()
    assert hold.drop()


def test_leaving_twice_cancels_once() -> None:
    hold = hold_of(1)
    assert [hold.leave(), hold.leave(), hold.drop()] == [True, False, False]


def test_a_handle_is_freed_without_the_collector() -> None:
    freed: list[int] = []
    watch: Callable[..., Any] = partial(invocation_base.finalize)
    gc.disable()
    try:
        _, handle = started()
        with suppress(InvocationCancelledError):
            for _ in handle:
                break
            handle.result()
        watch(handle, freed.append, 1)
        del handle
        assert freed == [1]
    finally:
        gc.enable()
