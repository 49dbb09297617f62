"""Cuts an answer at the first stop word, for models whose vendor does not do it."""

from collections.abc import Sequence


class StopFilter:
    """Lets text through up to the first stop word, however the text is split.

    Text that may turn out to begin a stop word is held back until it is decided.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self._words = [word for word in words if word]
        self._held = ""
        self.stopped: bool = False

    def feed(self, text: str) -> str:
        """Take more text, and give what is certain to come before any stop word."""
        if not self._words:
            return text
        if self.stopped:
            return ""
        held = self._held + text
        found = [at for word in self._words if (at := held.find(word)) >= 0]
        if found:
            self.stopped, self._held = True, ""
            return held[: min(found)]
        keep = max(self._overlap(held, word) for word in self._words)
        self._held = held[len(held) - keep :]
        return held[: len(held) - keep]

    def finish(self) -> str:
        """Give what was held back: the text ended before it became a stop word."""
        held, self._held = self._held, ""
        return held

    @staticmethod
    def _overlap(text: str, word: str) -> int:
        """Tell how many characters at the end of `text` are the beginning of `word`."""
        longest = min(len(text), len(word) - 1)
        return next((n for n in range(longest, 0, -1) if text.endswith(word[:n])), 0)
