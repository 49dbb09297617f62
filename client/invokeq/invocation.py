"""One invocation as its caller holds it: iterable, a handle, and a context manager.

Ordering: chunks come in the order in which the model made them. Loss and duplication: none, also
across a reconnect. Leaving an iteration before its end, closing or dropping the handle cancels the
invocation, unless it is detached. While the handle is open, its session keeps it alive.
"""

import contextlib
from collections.abc import Callable, Generator
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, cast

from invokeq.invocation_base import END, BaseInvocation, Item, Result
from invokeq.keeper import EXIT_SECONDS
from invokeq.operations import control
from invokeq.operations.control import InvocationStatus
from invokeq.operations.plan import Plan
from invokeq.transport.blocking import Transport

T = TypeVar("T")


class Invocation(BaseInvocation[Transport, Item, Result], Generic[Item, Result]):
    """A submitted invocation; made by `submit(...)` and `Session.attach(...)`.

    May be iterated again: each iteration begins at the start. A handle keeps answers up to 8 MB;
    of a larger one PartialAnswerError says that it can only be read once. One thread at a time may
    read; `close()` and `cancel()` may be called from any thread.
    """

    def __iter__(self) -> Generator[Item, None, None]:
        return ItemStream(lambda: self)

    def result(self) -> Result:
        """Read to the end and return the whole result; raises the error of a bad end.

        The second time the same result is returned. For text and speech whose beginning was left
        out by `attach(after=...)`, the result is the rest; for vectors and rankings that is a
        PartialAnswerError.
        """
        if self._results:
            return self._results[0]
        items = self._items_before()
        while True:
            item = self._item(self._log.count)
            if item is END:
                return self._result_of(items)
            items.append(cast(Item, item))

    def cancel(self) -> bool:
        """Stop the invocation, queued or running; return False if already ended."""
        return self._run(control.cancel(self.request_id))

    def detach(self) -> None:
        """Let the invocation run on without a reader.

        Others can attach until ten minutes after the end.
        """
        self._detach()
        self._run(control.detach(self.request_id))

    def status(self) -> InvocationStatus:
        """Return where the invocation stands."""
        return self._run(control.status(self.request_id))

    def close(self) -> None:
        """End the reading, also in another thread; cancels unless detached or at its end.

        What was read can be read again; then InvocationCancelledError follows.
        """
        self._leave()
        self._mark_left()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _item(self, at: int) -> Any:
        """Return item `at`: one that was read before, or the next one; END behind the last."""
        item = self._item_read(at)
        if item is not None:
            return item
        self._hold.use()
        try:
            item = self._read_item()
        except BaseException as error:
            self._remember_failure(error)
            self._leave()
            raise
        finally:
            self._hold.release()
        if item is END:
            self._keeper.forget(self._hold)
        return item

    def _read_item(self) -> Any:
        if self._take_handed_out():
            self._run(self._reader.renew())
        while True:
            item = self._next_read()
            if item is not None:
                return item
            if self._reader.is_lease_due:
                self._run(self._reader.renew())
            if not self._events:
                end = self._item_read(self._log.count)
                if end is END:
                    return END
                self._fetched(self._run(self._reader.next_events()))

    def _leave(self) -> None:
        """Cancel unless detached or at the end; wait until Redis has been told, within a bound."""
        told = self._keeper.leave(self._hold)
        if not self._hold.detached:
            self._mark_left()
        if told is not None:
            # Without Redis there is no way to cancel now: the lease lapses, and that cancels.
            with contextlib.suppress(TimeoutError):
                told.result(EXIT_SECONDS)

    def _run(self, plan: Plan[T]) -> T:
        return self._transport.run(plan)


class ItemStream(Generator[Item, None, None]):
    """One iteration over an answer; leaving it before its end cancels, unless detached.

    A generator to its caller. Unlike a real one it may be closed by another thread, which ends a
    `next()` that waits.
    """

    def __init__(self, open_: "Callable[[], Invocation[Item, Any]]") -> None:
        self._open = open_
        self._invocation: Invocation[Item, Any] | None = None
        self._at = 0
        self._over = False

    def __next__(self) -> Item:
        if self._over:
            raise StopIteration
        try:
            invocation = self._invocation
            if invocation is None:
                invocation = self._invocation = self._open()
                if self._over:  # race: closed by another thread while the call was submitted
                    invocation.close()
            item = invocation._item(self._at)  # pyright: ignore[reportPrivateUsage]: its other half
        except BaseException:
            self._over = True
            raise
        if item is END:
            self._over = True
            raise StopIteration
        if not self._at:
            invocation.keep()
        self._at += 1
        return item

    def send(self, value: None, /) -> Item:
        """Return the next item; an answer takes no values."""
        return next(self)

    def throw(self, kind: Any, value: Any = None, trace: Any = None, /) -> Item:
        """Leave, and raise the error."""
        self.close()
        raise kind if value is None else value

    def close(self) -> None:
        """Leave: cancel unless detached or at the end."""
        over, self._over = self._over, True
        if not over and self._invocation is not None:
            self._invocation._leave()  # pyright: ignore[reportPrivateUsage]: its other half

    def __del__(self) -> None:
        # Not `close`: the garbage collector may run anywhere, where waiting is not possible.
        invocation = None if self._over else self._invocation
        if invocation is not None:
            invocation._drop()  # pyright: ignore[reportPrivateUsage]: its other half
