"""One invocation in the hands of the caller: an iterator, a handle, and a context manager.

Ordering: chunks come in the model's order. Loss and duplication: none, also across a reconnect.
Closing or dropping an unfinished iteration cancels the invocation, unless detached.
"""

import contextlib
from collections.abc import Generator
from types import TracebackType
from typing import Generic, Self, TypeVar

from invokeq.invocation_base import BaseInvocation, Item, Result
from invokeq.operations import control
from invokeq.operations.control import InvocationStatus
from invokeq.operations.plan import Plan
from invokeq.protocol.errors import BrokerUnavailableError, InvokeqError
from invokeq.transport.blocking import Transport

T = TypeVar("T")


class Invocation(BaseInvocation[Transport, Item, Result], Generic[Item, Result]):
    """A submitted invocation, iterable once; made by `submit(...)` and `Session.attach(...)`."""

    _items: Generator[Item, None, None] | None = None

    def __iter__(self) -> Generator[Item, None, None]:
        if self._items is None:
            self._items = self._read()
        return self._items

    def result(self) -> Result:
        """Read to the end and return the whole result; raises the error of a bad end.

        If the beginning was read before, or skipped by `attach(after=...)`, the result of text and
        speech is the rest; vectors and rankings raise PartialAnswerError.
        """
        return self._decoder.result_of(iter(self))

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
        """End the reading; cancels a running invocation, unless detached."""
        if self._items is not None:
            self._items.close()
        # Without a first `next()` the generator never ran, and neither did its `finally`.
        self._leave()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _read(self) -> Generator[Item, None, None]:
        try:
            while not self._reader.state.ended:
                for event in self._run(self._reader.next_events()):
                    item = self._decode(event)
                    if item is not None:
                        yield item
                    if self._reader.taken(event):
                        self._run(self._reader.renew())
        except InvokeqError as error:
            self._add_request_id(error)
            raise
        finally:
            self._leave()

    def _leave(self) -> None:
        if self._stop_reading():
            # Without Redis there is no way to cancel now: the lapse of the lease will cancel.
            with contextlib.suppress(BrokerUnavailableError):
                self._run(control.cancel(self.request_id))

    def _run(self, plan: Plan[T]) -> T:
        return self._transport.run(plan)
