"""Cutting of an answer at the first stop word, for vendors without stop words."""

from collections.abc import Sequence


class StopFilter:
    """Filter for text up to the first stop word, for every split of the text into pieces.

    A possible beginning of a stop word is held back until the next text decides.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self._words = [word for word in words if word]
        self._held = ""
        self.stopped: bool = False

    def feed(self, text: str) -> str:
        """Add text, and return the part certain to come before any stop word."""
        if not self._words:
            return text
        if self.stopped:
            return ""
        held = self._held + text
        # All words are searched: a word later in the list may come first in the text.
        found = [at for word in self._words if (at := held.find(word)) >= 0]
        if found:
            self.stopped, self._held = True, ""
            return held[: min(found)]
        keep = max(self._overlap(held, word) for word in self._words)
        self._held = held[len(held) - keep :]
        return held[: len(held) - keep]

    def finish(self) -> str:
        """Return the text held back: the answer ended before a stop word was complete."""
        held, self._held = self._held, ""
        return held

    @staticmethod
    def _overlap(text: str, word: str) -> int:
        """Return how many characters at the end of `text` are the beginning of `word`."""
        longest = min(len(text), len(word) - 1)
        return next((n for n in range(longest, 0, -1) if text.endswith(word[:n])), 0)
