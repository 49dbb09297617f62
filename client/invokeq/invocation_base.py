"""The loop-free base of `Invocation` and `AsyncInvocation`.

Internal: may change without notice.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

from invokeq.operations.history import VendorRetry, retry_of
from invokeq.operations.reader import Reader
from invokeq.protocol.errors import InvokeqError
from invokeq.protocol.events import TERMINAL, Event, EventKind
from invokeq.protocol.usage import Usage
from invokeq.results.decode import ResultDecoder, usage_of

TransportT = TypeVar("TransportT")
Item = TypeVar("Item")
Result = TypeVar("Result")


class BaseInvocation(Generic[TransportT, Item, Result]):
    """The loop-free part of an invocation: the state, and the decoding of one event."""

    def __init__(
        self,
        transport: TransportT,
        reader: Reader,
        decoder: ResultDecoder[Item, Result],
        *,
        detached: bool,
    ) -> None:
        self._transport = transport
        self._reader = reader
        self._decoder = decoder
        self._detached = detached
        self._taken = reader.state.last
        self._usage: Usage | None = None
        self._on_retry: Callable[[VendorRetry], object] | None = None

    def __repr__(self) -> str:
        state = "ended" if self._reader.state.ended else "open"
        detached = ", detached" if self._detached else ""
        return f"<{type(self).__name__} {self.request_id}, {state} after {self._taken}{detached}>"

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

    def _add_request_id(self, error: InvokeqError) -> None:
        error.request_id = error.request_id or self.request_id

    def _detach(self) -> None:
        self._detached = True
        self._reader.let_go()

    def _stop_reading(self) -> bool:
        """End the reading; return whether the invocation must be cancelled.

        True at most once: closing twice does not cancel twice.
        """
        # Set before the round trip that cancels: an exit of `with` after `close()` must not wait
        # for a Redis that is away a second time.
        if self._reader.state.ended or self._detached:
            return False
        self._reader.state.ended = True
        return True
