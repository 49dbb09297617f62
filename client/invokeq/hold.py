"""What keeps an invocation alive on the caller's side, and how the caller leaves it.

Internal: may change without notice.
"""

import os
import threading
from itertools import count
from typing import Final

from invokeq.operations.reader import Reader
from invokeq.protocol.errors import MisuseError

RENEWAL_WAIT: Final = 20.0
"""Seconds that a reader waits for a renewal by the keeper, which takes one round trip."""


class Hold:
    """One invocation in the hands of one process: its reader, and whether the caller has left.

    Handles and iterators refer to a hold, and a hold to none of these: so a dropped handle is freed
    at once. The lock is held by whoever uses the reader: the caller, or the keeper that renews.
    """

    __slots__ = ("__weakref__", "_leaving", "_lock", "_pid", "detached", "reader", "renewing")

    def __init__(self, reader: Reader, *, detached: bool) -> None:
        self.reader: Reader = reader
        self.detached: bool = detached
        self.renewing: bool = False
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._leaving = count()

    @property
    def is_open(self) -> bool:
        """Whether leaving would cancel the invocation."""
        state = self.reader.state
        return not (state.ended or state.left or self.detached)

    @property
    def is_ours(self) -> bool:
        """Whether this process made the hold or has read last; a fork inherits holds."""
        return self._pid == os.getpid()

    def try_use(self) -> bool:
        """Take the reader for one step, or return False: the keeper is renewing.

        Raise MisuseError if another thread or task is reading.
        """
        if not self.is_ours:
            # Forked: the parent's keeper may have held the lock, and nobody here would release it.
            self._pid, self._lock, self.renewing = os.getpid(), threading.Lock(), False
        if self._lock.acquire(blocking=False):
            return True
        if self.renewing:
            return False
        # Race: the keeper may have finished between the two lines above.
        if self._lock.acquire(blocking=False):
            return True
        raise MisuseError(
            request_id=self.reader.request_id,
            subject=f"The handle of request {self.reader.request_id}",
            problem="is being read by another thread or task: read it in one, or attach",
        )

    def use(self) -> None:
        """Take the reader for one step; wait for a renewal that is under way."""
        while not self.try_use():
            if self._lock.acquire(timeout=RENEWAL_WAIT):
                return

    def release(self) -> None:
        """Give the reader back after a step or a renewal."""
        self.renewing = False
        self._lock.release()

    def try_renewing(self) -> bool:
        """Take the reader for a renewal; False for a lease that is not due, or is being read."""
        if not (self.is_open and self.reader.is_lease_due and self.is_ours):
            return False
        # A caller that is in the middle of a step renews by itself, and in the right order: two
        # renewals over two connections could put the position back.
        if not self._lock.acquire(blocking=False):
            return False
        self.renewing = True
        return True

    def leave(self) -> bool:
        """Mark the invocation as left; return whether it must be cancelled: at most once."""
        must_cancel = self.is_open
        if must_cancel:
            self.reader.state.left = True
            self.reader.let_go()
        # Race: several threads, or a finalizer in the middle of this line: one of them gets 0.
        return must_cancel and next(self._leaving) == 0

    def drop(self) -> bool:
        """Leave as a finalizer does: not in a fork, where the parent still reads."""
        return self.is_ours and self.leave()
