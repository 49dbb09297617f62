"""Keeps the last lines of a process's stderr for error messages, with secrets masked."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from invokeq.dify.plugins.redaction import Redactor

MAX_WIDTH: Final = 1_000
"""Characters kept of a line."""

_MAX_LINES: Final = 40
_READ_BYTES: Final = 256 * 1024


class StderrTail:
    """The last lines of stderr; `on_line` is called with every line, masked and shortened."""

    def __init__(self, redactor: Redactor, on_line: Callable[[str], None]) -> None:
        self._redactor = redactor
        self._on_line = on_line
        self._lines: deque[str] = deque(maxlen=_MAX_LINES)

    @property
    def last_line(self) -> str | None:
        """Return the last line, or None without any output."""
        return self._lines[-1] if self._lines else None

    def __str__(self) -> str:
        return "\n".join(self._lines)

    async def read(self, stream: asyncio.StreamReader) -> None:
        """Read a stream to the end."""
        rest = ""
        while data := await stream.read(_READ_BYTES):
            *whole, rest = (rest + data.decode(errors="replace")).split("\n")
            self._keep(whole)
            rest = rest[-MAX_WIDTH:]  # a line without end must not fill memory
        self._keep([rest])

    def _keep(self, lines: Sequence[str]) -> None:
        for line in lines:
            if text := self._redactor.redact(line.rstrip())[:MAX_WIDTH]:
                self._lines.append(text)
                self._on_line(text)
