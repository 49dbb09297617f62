"""The items that a handle has read, kept so that the answer can be read again."""

from typing import Final, Generic, TypeVar

from invokeq.protocol.errors import PartialAnswerError

Item = TypeVar("Item")

KEPT_BYTES: Final = 8 * 1024 * 1024
"""Bytes of an answer, as Redis stores it, that a handle keeps; a larger answer is read once."""


class AnswerLog(Generic[Item]):
    """The items of one answer, in order. Memory is bounded: over `limit` bytes no item is kept."""

    __slots__ = ("_items", "_limit", "_size", "count")

    def __init__(self, limit: int = KEPT_BYTES) -> None:
        self.count: int = 0
        self._limit = limit
        self._size = 0.0
        self._items: list[Item] | None = [] if limit else None

    def add(self, item: Item, size: float) -> None:
        """Add the next item of about `size` bytes; drop all items once the answer is too large."""
        self.count += 1
        if self._items is None:
            return
        self._size += size
        if self._size > self._limit:
            self._items = None
        else:
            self._items.append(item)

    def item(self, at: int) -> Item:
        """Return an item that was read; PartialAnswerError if the items were dropped."""
        return self.items[at]

    @property
    def items(self) -> list[Item]:
        """All items that were read; PartialAnswerError if the items were dropped."""
        if self._items is None and self.count:
            size = self._limit // 1024**2
            raise PartialAnswerError(missing=f"the rest, which is over the {size} MB that are kept")
        return self._items or []
