"""A worker that logs every event loop callback with too much CPU time.

The measure is the CPU time of the loop's thread, so a busy machine makes no callback slow. The loop
is asyncio's own, because uvloop has no hook around a callback. Start-up is not measured: the watch
begins with the first claim.

A line of the log is `slow callback: <milliseconds> ms: <first await> -> <last await>`. The time of
the garbage collector is not counted as the callback's, and has a line of its own.
"""

import asyncio
import gc
import sys
import threading
import time
from types import FrameType
from typing import Any, Final

import uvloop

from invokeq_worker.__main__ import main
from invokeq_worker.engine.claimer import Claimer

MARK: Final = "slow callback: "
LONGEST_MS: Final = 50.0

_collecting: Final = [0.0, 0.0]
"""Seconds: the start of the current collection, and the share of the current callback."""

_run: Final = asyncio.events.Handle._run  # pyright: ignore[reportPrivateUsage]
_claim: Final = Claimer.run


def watched(handle: asyncio.Handle) -> None:
    """Run a callback as `Handle._run` does, and log a slow one."""
    task, before = _place(handle)
    _collecting[1] = 0.0
    began = time.thread_time()
    _run(handle)
    spent = time.thread_time() - began - _collecting[1]
    if spent * 1000 > LONGEST_MS:
        after = "" if task is None else f" -> {_stack(task)}"
        _note(spent, f"{before}{after}")


def _note(spent: float, what: str) -> None:
    sys.stderr.write(f"{MARK}{spent * 1000:.0f} ms: {what}\n")
    sys.stderr.flush()


def _watch_collector(phase: str, info: dict[str, int]) -> None:
    if threading.current_thread() is not threading.main_thread():
        return
    if phase == "start":
        _collecting[0] = time.thread_time()
        return
    spent = time.thread_time() - _collecting[0]
    _collecting[1] += spent
    if spent * 1000 > LONGEST_MS:
        _note(spent, f"garbage collector, generation {info['generation']}")


def _place(handle: asyncio.Handle) -> "tuple[asyncio.Task[Any] | None, str]":
    """Return the task that a handle resumes, if any, and a name of the step or function."""
    callback: Any = handle._callback  # type: ignore[attr-defined]
    bound_to = getattr(callback, "__self__", None)
    if isinstance(bound_to, asyncio.Task):
        task: asyncio.Task[Any] = bound_to
        return task, _stack(task)
    return None, getattr(callback, "__qualname__", repr(callback))


def _stack(task: "asyncio.Task[Any]") -> str:
    """Return the chain of awaiting functions of a task, with the innermost one's line number."""
    names: list[str] = []
    waiting: Any = task.get_coro()
    frame: FrameType | None = None
    while waiting is not None:
        own = getattr(waiting, "cr_frame", None) or getattr(waiting, "ag_frame", None)
        if own is not None:
            frame = own
            names.append(own.f_code.co_qualname)
        waiting = getattr(waiting, "cr_await", None) or getattr(waiting, "ag_await", None)
    return " > ".join(names) + (f":{frame.f_lineno}" if frame else "ended")


async def _watch_from_here(claimer: Claimer, burst: bool = False) -> None:
    asyncio.events.Handle._run = watched  # type: ignore[method-assign]
    gc.callbacks.append(_watch_collector)
    await _claim(claimer, burst)


if __name__ == "__main__":
    uvloop.new_event_loop = asyncio.new_event_loop  # type: ignore[assignment]
    Claimer.run = _watch_from_here  # type: ignore[method-assign]
    sys.exit(main())
