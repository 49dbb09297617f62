"""Masks secrets in the output of a plugin."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

MASK: Final = "***"

SHORTEST_GUESS: Final = 8
"""Characters; a shorter value in credentials counts as a choice such as `chat` or `true`."""

_MOST_SECRETS: Final = 10_000  # of the callers of one process; the oldest are dropped


class Redactor:
    """Masks the secrets of a process, and the credentials given to `add`."""

    def __init__(self, secrets: Iterator[str] | tuple[str, ...] = ()) -> None:
        self._secrets = dict.fromkeys(secret for secret in secrets if secret)

    def add(self, credentials: object) -> None:
        """Add every text in the credentials of at least `SHORTEST_GUESS` characters."""
        for text in _texts(credentials):
            if len(text) >= SHORTEST_GUESS:
                self._secrets[text] = None
        while len(self._secrets) > _MOST_SECRETS:
            del self._secrets[next(iter(self._secrets))]

    def redact(self, text: str) -> str:
        """Return the text with every secret masked, the longest secret first."""
        # The longest first: a short secret may be a part of a long one.
        found = [secret for secret in self._secrets if secret in text]
        for secret in sorted(found, key=len, reverse=True):
            text = text.replace(secret, MASK)
        return text


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in cast(Mapping[Any, object], value).values():
            yield from _texts(item)
    elif isinstance(value, (list, tuple)):
        for item in cast(list[object], value):
            yield from _texts(item)
