"""Logging in structlog's style, an event with fields, on the standard library alone.

Workers log with structlog, which plugins do not install. A LogEvent reads as `event key=value ...`
in every standard handler; a formatter aware of LogEvents can show the fields one by one.
"""

import logging
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class LogEvent:
    """One change of state; `fields` has no None."""

    event: str
    fields: dict[str, Any]

    def __str__(self) -> str:
        return " ".join([self.event, *(f"{name}={value}" for name, value in self.fields.items())])


class EventLogger:
    """A standard logger for events, in lower case, with fields by keyword.

    Fields without a value (None) are left out.
    """

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def debug(self, event: str, **fields: object) -> None:
        """Log an event for debugging."""
        self._log(logging.DEBUG, event, fields)

    def info(self, event: str, **fields: object) -> None:
        """Log a normal event."""
        self._log(logging.INFO, event, fields)

    def warning(self, event: str, **fields: object) -> None:
        """Log an event for the attention of an operator."""
        self._log(logging.WARNING, event, fields)

    def exception(self, event: str, **fields: object) -> None:
        """Log an unexpected exception with the traceback; call from an `except` block."""
        self._log(logging.ERROR, event, fields, exc_info=True)

    @property
    def debugs(self) -> bool:
        """Whether debug events are logged."""
        return self._logger.isEnabledFor(logging.DEBUG)

    def _log(
        self, level: int, event: str, fields: dict[str, object], *, exc_info: bool = False
    ) -> None:
        shown = {name: value for name, value in fields.items() if value is not None}
        # The record names the caller of debug(), info(), ... as its origin.
        self._logger.log(level, LogEvent(event, shown), exc_info=exc_info, stacklevel=3)
