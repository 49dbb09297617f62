"""Leaving an invocation cancels it, however the caller leaves.

The table of README's lifetime rules is this table: each way of leaving, for `invoke` and `submit`,
over blocking sockets, asyncio and anyio. The scripted vendor's journal shows the cancel.
"""

import asyncio
import gc
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator
from contextlib import suppress
from typing import Any

import anyio
import pytest

from invokeq import AsyncInvocation, AsyncSession, Invocation, Session
from invokeq.errors import InvocationCancelledError
from invokeq.protocol.requests import new_request_id
from tests.integration.calls.test_llm import (
    test_a_reader_that_has_gone_does_not_burn_money as a_dead_process,
)
from tests.integration.conftest import stream_config, user
from tests.support.paths import ROOT
from tests.support.processes.worker import WorkerProcess, running_worker
from tests.support.servers.server import Server
from tests.support.waiting import eventually

HANGS = stream_config(chunks=10, hang_after=2)
"""A model that sends two chunks, and then nothing more until it is cancelled."""

Answer = Generator[Any, None, None] | Invocation[Any, Any]
AsyncAnswer = AsyncGenerator[Any, None] | AsyncInvocation[Any, Any]


class _LeftError(Exception):
    """What the body of a loop raises."""


@pytest.fixture(scope="module")
def worker(
    redis_server: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WorkerProcess]:
    redis_server.erase()
    with running_worker(redis_server.url, tmp_path_factory.mktemp("leaving")) as process:
        yield process


@pytest.fixture
def url(worker: WorkerProcess, redis_server: Server) -> str:
    return redis_server.url


def is_cancelled(worker: WorkerProcess, request_id: str) -> None:
    """Wait until the vendor has seen the cancel."""
    eventually("the vendor is cancelled", lambda: "closed" in worker.vendor_events(request_id))


def by_break(answer: Answer) -> None:
    for _ in answer:
        break


def by_error(answer: Answer) -> None:
    with suppress(_LeftError):
        for _ in answer:
            raise _LeftError


def by_interrupt(answer: Answer) -> None:
    with suppress(KeyboardInterrupt):
        for _ in answer:
            signal.raise_signal(signal.SIGINT)


def by_close(answer: Answer) -> None:
    items = iter(answer)
    next(items)
    answer.close()


def by_dropping(answer: Answer) -> None:
    next(iter(answer))


def by_closing_elsewhere(answer: Answer) -> None:
    """Stop a reader that waits for the third chunk, from another thread."""
    items = iter(answer)
    next(items)
    next(items)
    stop = threading.Timer(0.2, answer.close)
    stop.start()
    with pytest.raises(InvocationCancelledError):
        next(items)
    stop.join()


def test_the_table_in_readme_is_this_matrix() -> None:
    """Each row of README's table has its tests here, and no more rows are promised."""
    text = (ROOT / "README.md").read_text()
    table = text.partition("| the caller leaves by | the call |\n|---|---|\n")[2]
    rows = table.partition("\n\n")[0].splitlines()
    assert [row.split("|")[1].strip() for row in rows] == list(ROWS)


WAYS = [by_break, by_error, by_interrupt, by_close, by_dropping, by_closing_elsewhere]


@pytest.mark.parametrize("kind", ["invoke", "submit"])
@pytest.mark.parametrize("leave", WAYS)
def test_leaving_cancels(
    worker: WorkerProcess, url: str, leave: Callable[[Answer], None], kind: str
) -> None:
    request_id = new_request_id()
    gc.disable()  # no reference cycle may wait for the collector
    try:
        with Session("acme", redis=url) as session:
            answer: Any = getattr(session.model.llm, kind)(HANGS, user("x"), request_id=request_id)
            leave(answer)
            del answer
            is_cancelled(worker, request_id)
    finally:
        gc.enable()


@pytest.mark.parametrize("read", [0, 1])
def test_a_dropped_handle_is_cancelled_without_the_collector(
    worker: WorkerProcess, url: str, read: int
) -> None:
    gc.disable()
    try:
        with Session("acme", redis=url) as session:
            handle = session.model.llm.submit(HANGS, user("x"))
            request_id = handle.request_id
            eventually("it runs", lambda: worker.vendor_events(request_id) != [])
            items = iter(handle)
            for _ in range(read):
                next(items)
            del handle, items
            is_cancelled(worker, request_id)
    finally:
        gc.enable()


def test_closing_the_session_cancels_what_is_open(worker: WorkerProcess, url: str) -> None:
    with Session("acme", redis=url) as session:
        handle = session.model.llm.submit(HANGS, user("x"))
        detached = session.model.llm.submit(HANGS, user("x"), detached=True)
        for each in (handle, detached):
            eventually("it runs", lambda: worker.vendor_events(each.request_id) != [])  # noqa: B023
    is_cancelled(worker, handle.request_id)
    with pytest.raises(InvocationCancelledError):
        handle.result()
    assert detached.status().state == "running"
    assert detached.cancel()


PROGRAM = """
import sys
from invokeq import Session
from invokeq.entities import UserPromptMessage

session = Session("acme", redis=sys.argv[1])
model = {"provider": "scripted", "model": "stream", "mode": "chat",
         "completion_params": {"chunks": 10, "hang_after": 2}}
call = getattr(session.model.llm, sys.argv[2])
answer = call(model, [UserPromptMessage(content="x")], request_id=sys.argv[3])
items = iter(answer)
next(items)
"""


@pytest.mark.parametrize("kind", ["invoke", "submit"])
def test_the_end_of_the_interpreter_cancels(worker: WorkerProcess, url: str, kind: str) -> None:
    request_id = new_request_id()
    command = [sys.executable, "-c", PROGRAM, url, kind, request_id]
    subprocess.run(command, check=True, timeout=60)
    is_cancelled(worker, request_id)


async def async_break(answer: AsyncAnswer) -> None:
    async for _ in answer:
        break


async def async_error(answer: AsyncAnswer) -> None:
    with suppress(_LeftError):
        async for _ in answer:
            raise _LeftError


async def async_close(answer: AsyncAnswer) -> None:
    items = aiter(answer)
    await anext(items)
    await (answer.aclose() if isinstance(answer, AsyncGenerator) else answer.close())


async def async_timeout(answer: AsyncAnswer) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(0.3):
            async for _ in answer:
                pass


async def async_cancel_twice(answer: AsyncAnswer) -> None:
    async def read() -> None:
        async for _ in answer:
            reading.set()

    reading = asyncio.Event()
    task = asyncio.create_task(read())
    await reading.wait()
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def async_scope(answer: AsyncAnswer) -> None:
    """Leave as Starlette does when a browser has gone: each await of the clean-up is cancelled."""
    with anyio.move_on_after(0.3):
        if isinstance(answer, AsyncGenerator):
            try:
                async for _ in answer:
                    pass
            finally:
                await answer.aclose()
        else:
            async with answer:
                async for _ in answer:
                    pass


async def async_other_task(answer: AsyncAnswer) -> None:
    async def read() -> None:
        async for _ in answer:
            reading.set()

    reading = asyncio.Event()
    task = asyncio.create_task(read())
    await reading.wait()
    await (answer.aclose() if isinstance(answer, AsyncGenerator) else answer.close())
    with pytest.raises(InvocationCancelledError):
        await task


ASYNC_WAYS = [
    async_break,
    async_error,
    async_close,
    async_timeout,
    async_cancel_twice,
    async_scope,
    async_other_task,
]


@pytest.mark.parametrize("kind", ["invoke", "submit"])
@pytest.mark.parametrize("leave", ASYNC_WAYS)
def test_leaving_cancels_on_asyncio(
    worker: WorkerProcess,
    url: str,
    leave: Callable[[AsyncAnswer], Awaitable[None]],
    kind: str,
) -> None:
    request_id = new_request_id()

    async def scenario() -> None:
        async with AsyncSession("acme", redis=url) as session:
            answer: Any = getattr(session.model.llm, kind)(HANGS, user("x"), request_id=request_id)
            if kind == "submit":
                answer = await answer
            await leave(answer)
            del answer
            # The session is still open: it is not its end that cancels.
            await asyncio.to_thread(is_cancelled, worker, request_id)

    gc.disable()
    try:
        asyncio.run(scenario())
    finally:
        gc.enable()


ASYNC_PROGRAM = """
import asyncio, sys
from invokeq import AsyncSession
from invokeq.entities import UserPromptMessage

async def main():
    session = AsyncSession("acme", redis=sys.argv[1])
    model = {"provider": "scripted", "model": "stream", "mode": "chat",
             "completion_params": {"chunks": 10, "hang_after": 2}}
    messages = [UserPromptMessage(content="x")]
    async for _ in session.model.llm.invoke(model, messages, request_id=sys.argv[2]):
        return

asyncio.run(main())
"""


def test_the_end_of_the_loop_cancels(worker: WorkerProcess, url: str) -> None:
    """Neither handle nor session is closed, and the loop is gone."""
    request_id = new_request_id()
    command = [sys.executable, "-c", ASYNC_PROGRAM, url, request_id]
    subprocess.run(command, check=True, timeout=60)
    is_cancelled(worker, request_id)


def test_a_cancel_while_the_call_is_submitted_leaves_nothing_running(
    worker: WorkerProcess, url: str
) -> None:
    """Whatever is cut off, and wherever, ends: as many turns of the loop later as there are."""
    ids = [new_request_id() for _ in range(60)]

    async def scenario() -> None:
        async with AsyncSession("acme", redis=url) as session:
            await session.workers()
            for turns, request_id in enumerate(ids):
                call = session.model.llm.invoke(
                    HANGS, user("x"), stream=False, request_id=request_id
                )
                task = asyncio.ensure_future(call)
                for _ in range(turns % 30):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            for request_id in ids:
                await asyncio.to_thread(has_ended, session, worker, request_id)

    def has_ended(session: AsyncSession, worker: WorkerProcess, request_id: str) -> None:
        def ended() -> bool:
            said = worker.vendor_events(request_id)
            return said == [] or "closed" in said

        del session
        eventually("it has ended", ended)

    asyncio.run(scenario())
    eventually(
        "all that was begun is cancelled",
        lambda: all(said == [] or "closed" in said for said in map(worker.vendor_events, ids)),
    )


ROWS: dict[str, list[object]] = {
    "`break`, or dropping the iterator": [by_break, by_dropping, async_break],
    "an exception in the loop, or Ctrl-C": [by_error, by_interrupt, async_error],
    "`close()`, also from another thread or task": [
        by_close,
        by_closing_elsewhere,
        async_close,
        async_other_task,
    ],
    "`del` of the handle": [test_a_dropped_handle_is_cancelled_without_the_collector],
    "`asyncio.timeout`, `task.cancel()`, a cancel scope": [
        async_timeout,
        async_cancel_twice,
        async_scope,
    ],
    "a cancel or Ctrl-C while the call is submitted": [
        test_a_cancel_while_the_call_is_submitted_leaves_nothing_running
    ],
    "the end of `with`, or `session.close()`": [test_closing_the_session_cancels_what_is_open],
    "the end of the program or of its event loop": [
        test_the_end_of_the_interpreter_cancels,
        test_the_end_of_the_loop_cancels,
    ],
    "the death of the process": [a_dead_process],
}
"""README's lifetime rules, and what tests each of them."""
