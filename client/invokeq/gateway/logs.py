"""The gateway's log: one line a change of state on stderr, for people or as JSON.

Never in a line: keys, session ids, prompts, answers.
"""

import logging
import sys
import time
from typing import Any, Final

import orjson

from invokeq.gateway.settings import LogFormat
from invokeq.protocol.errors import InvokeqError

logger: Final = logging.getLogger("invokeq.gateway")

_FIELDS: Final = "fields"


def log_event(level: int, event: str, **fields: Any) -> None:
    """Log an event with those of its fields that have a value."""
    logger.log(level, event, extra={_FIELDS: {k: v for k, v in fields.items() if v is not None}})


def log_refused(door: str, error: InvokeqError) -> None:
    """Log that a request was refused before it became a call."""
    log_event(logging.WARNING, "refused", door=door, code=error.code)


def configure_logging(log_format: LogFormat) -> None:
    """Send every logger of this process to stderr, ours from `info` on, others from `warning`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter() if log_format == "json" else _ConsoleFormatter())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logger.setLevel(logging.INFO)
    logging.captureWarnings(True)


class _Formatter(logging.Formatter):
    def fields_of(self, record: logging.LogRecord) -> dict[str, Any]:
        """Give the fields of a line; of a traceback too, which has no local variables."""
        fields: dict[str, Any] = {
            "event": record.getMessage(),
            "level": record.levelname.lower(),
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            **getattr(record, _FIELDS, {}),
        }
        if record.name != logger.name:
            fields["logger"] = record.name
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return fields


class _JsonFormatter(_Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return orjson.dumps(self.fields_of(record), default=str).decode()


class _ConsoleFormatter(_Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = self.fields_of(record)
        trace = fields.pop("exception", None)
        head = [fields.pop("timestamp"), f"[{fields.pop('level')}]", fields.pop("event")]
        line = " ".join([*head, *(f"{name}={value}" for name, value in fields.items())])
        return line if trace is None else f"{line}\n{trace}"
