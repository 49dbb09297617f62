"""The loop-free base of `Invocation` and `AsyncInvocation`.

Internal: may change without notice.
"""

from collections import deque
from collections.abc import Callable, Iterable
from copy import copy
from typing import Any, Final, Generic, TypeVar
from weakref import finalize

from invokeq.hold import Hold
from invokeq.keeper import Keeper, keeper_of
from invokeq.operations.answer_log import KEPT_BYTES, AnswerLog
from invokeq.operations.history import VendorRetry, retry_of
from invokeq.operations.reader import Reader
from invokeq.protocol.errors import InvocationCancelledError, InvokeqError, MisuseError
from invokeq.protocol.events import TERMINAL, Event, EventKind
from invokeq.protocol.usage import Usage
from invokeq.results.decode import ResultDecoder, usage_of

TransportT = TypeVar("TransportT", bound=Any)
Item = TypeVar("Item")
Result = TypeVar("Result")


class _End:
    """The type of END."""


END: Final = _End()
"""Stands for the item after the last one."""


class BaseInvocation(Generic[TransportT, Item, Result]):
    """The loop-free part of an invocation: the state, and the decoding of one event."""

    def __init__(
        self,
        transport: TransportT,
        reader: Reader,
        decoder: ResultDecoder[Item, Result],
        *,
        detached: bool,
        kept_bytes: int = KEPT_BYTES,
    ) -> None:
        self._transport = transport
        self._reader = reader
        self._decoder = decoder
        self._taken = reader.state.last
        self._usage: Usage | None = None
        self._on_retry: Callable[[VendorRetry], object] | None = None
        self._hold: Hold = Hold(reader, detached=detached)
        self._keeper: Keeper = keeper_of(transport)
        self._log: AnswerLog[Item] = AnswerLog(kept_bytes)
        self._events: deque[Event] = deque()
        self._event_bytes = 0.0
        self._handed_out: Event | None = None
        self._failure: InvokeqError | None = None
        self._results: list[Result] = []
        # No reference from here to the handle: a dropped handle is freed, and left, at once. At the
        # interpreter's exit the keeper leaves its holds itself.
        finalize(self, self._keeper.drop, self._hold).atexit = False

    def __repr__(self) -> str:
        state = self._reader.state
        word = "ended" if state.ended else "left" if state.left else "open"
        detached = ", detached" if self._hold.detached else ""
        return f"<{type(self).__name__} {self.request_id}, {word} after {self._taken}{detached}>"

    @property
    def request_id(self) -> str:
        """Return the id of the invocation; a holder of the id can attach."""
        return self._reader.request_id

    @property
    def last_id(self) -> str:
        """Return the id of the last event taken by the caller, for `attach(after=last_id)`."""
        return str(self._taken)

    @property
    def usage(self) -> Usage | None:
        """Return the tokens, money and time of the invocation, once read to the end.

        None before the end, and where the vendor reports no usage. For a cancelled invocation, the
        known usage up to the cancellation.
        """
        return self._usage

    def on_retry(self, callback: Callable[[VendorRetry], object]) -> None:
        """Call `callback` with each failed vendor call, on reading the `retry` event.

        Items do not include `retry` events.
        """
        self._on_retry = callback

    def keep(self) -> None:
        """Keep the invocation alive while the caller is busy with other things."""
        self._keeper.keep(self._hold)

    def _item_read(self, at: int) -> Item | _End | None:
        """Return item `at` if it was read before, END behind the last one, None if it is to come.

        Raise the error with which the reading ended, and PartialAnswerError for an item of an
        answer that was too large to be kept.
        """
        if at < self._log.count:
            return self._log.item(at)
        if self._failure is not None:
            # A copy: a traceback would refer to the frames of the first time, and so to the handle.
            raise copy(self._failure)
        if self._reader.state.left:
            raise self._left_error()
        if self._reader.state.ended and not self._events:
            return END
        return None

    def _fetched(self, events: Iterable[Event]) -> None:
        self._events.extend(events)
        self._event_bytes = self._reader.given_bytes / max(1, len(self._events))

    def _next_read(self) -> Item | None:
        """Decode events that were fetched up to the next item; None if there is none."""
        while self._events:
            event = self._events.popleft()
            item = self._decode(event)
            self._handed_out = event
            if item is not None:
                self._log.add(item, self._event_bytes)
                return item
            if self._take_handed_out():
                # The caller renews the lease first, and then comes back for the item.
                return None
        return None

    def _take_handed_out(self) -> bool:
        """Note that the caller is done with the last event; return whether the lease is due."""
        event, self._handed_out = self._handed_out, None
        return event is not None and self._reader.taken(event)

    def _decode(self, event: Event) -> Item | None:
        """Return the item of one event, or None; raises the error of a bad end."""
        if event.kind in TERMINAL:
            self._usage = usage_of(event)
        elif event.kind is EventKind.RETRY and self._on_retry is not None:
            self._on_retry(retry_of(event))
        item = self._decoder.item_of(event)
        # Behind the decoding: an event that raises is not taken, so `attach(after=last_id)` meets
        # it again.
        self._taken = event.id
        return item

    def _remember_failure(self, error: BaseException) -> None:
        """Keep an error for the next time that the answer is read; note the request id in it."""
        if isinstance(error, InvokeqError):
            error.request_id = error.request_id or self.request_id
            self._failure = copy(error)
            self._events.clear()

    def _result_of(self, items: Iterable[Item]) -> Result:
        """Return the result of all items; the handle keeps the result."""
        result = self._decoder.result_of(iter(items))
        self._results.append(result)
        return result

    def _items_before(self) -> list[Item]:
        """Return the items that were read; PartialAnswerError if they were too large to keep."""
        return list(self._log.items)

    def _detach(self) -> None:
        self._hold.detached = True
        self._reader.let_go()
        self._keeper.forget(self._hold)

    def _mark_left(self) -> None:
        """Let no reader go on, neither here nor in another thread, unless all has been read."""
        # Also where the rest has been fetched already: how much that is, is a matter of luck.
        if self._events or not self._reader.state.ended:
            self._reader.state.left = True

    def _drop(self) -> None:
        """Leave from a finalizer: without waiting."""
        self._keeper.drop(self._hold)
        if not self._hold.detached:
            self._mark_left()

    def _left_error(self) -> InvokeqError:
        if self._hold.detached:
            subject = f"The handle of request {self.request_id}"
            problem = f"was closed: attach after {self.last_id} to read on"
            return MisuseError(request_id=self.request_id, subject=subject, problem=problem)
        return InvocationCancelledError(request_id=self.request_id, reason="caller")
