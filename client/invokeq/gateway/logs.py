"""The gateway's log: one line for each change of state, on stderr, as text or as JSON.

Keys, session ids, prompts and answers never appear in the log.
"""

import logging
import sys
import time
from typing import Any, Final

import orjson

from invokeq.dify.logs import EventLogger, LogEvent
from invokeq.gateway.settings import LogFormat
from invokeq.protocol.errors import InvokeqError

_NAME: Final = "invokeq.gateway"

log: Final = EventLogger(_NAME)


def log_refused(endpoint: str, error: InvokeqError) -> None:
    """Log a request refused before any call."""
    log.warning("request refused", endpoint=endpoint, code=error.code)


def configure_logging(log_format: LogFormat) -> None:
    """Send all loggers of the process to stderr: the gateway's from info, others from warning."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else ConsoleFormatter())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger(_NAME).setLevel(logging.INFO)
    logging.captureWarnings(True)


class _Formatter(logging.Formatter):
    def fields_of(self, record: logging.LogRecord) -> dict[str, Any]:
        """Return the fields of a line; a traceback is a field and has no local variables."""
        message: object = record.msg
        structured = message if isinstance(message, LogEvent) else None
        fields: dict[str, Any] = {
            "event": record.getMessage() if structured is None else structured.event,
            "level": record.levelname.lower(),
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            **({} if structured is None else structured.fields),
        }
        if record.name != _NAME:
            fields["logger"] = record.name
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return fields


class JsonFormatter(_Formatter):
    """Formats a record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        return orjson.dumps(self.fields_of(record), default=str).decode()


class ConsoleFormatter(_Formatter):
    """Formats a record as `timestamp [level] event key=value ...`, and a traceback below."""

    def format(self, record: logging.LogRecord) -> str:
        fields = self.fields_of(record)
        trace = fields.pop("exception", None)
        head = [fields.pop("timestamp"), f"[{fields.pop('level')}]", fields.pop("event")]
        line = " ".join([*head, *(f"{name}={value}" for name, value in fields.items())])
        return line if trace is None else f"{line}\n{trace}"
