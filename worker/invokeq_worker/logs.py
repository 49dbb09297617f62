"""Set up logging: one line on stderr for each change of state, for people or as JSON.

All loggers, RQ's and asyncio's included, share one pipeline, which masks credentials. Tracebacks
never show local variables, which hold prompts.
"""

import json
import logging
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Final, TextIO
from urllib.parse import quote, unquote, urlsplit

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from invokeq_worker.config.models import LogSettings

MASK: Final = "***"

SHORTEST_SECRET: Final = 8
"""Characters; shorter secrets are placeholders such as EMPTY, which occur in ordinary lines."""

_SENTINEL_PASSWORD: Final = re.compile(r"(?:^|&)sentinel_password=([^&]+)")

_CHATTY: Final = ("httpcore", "httpx", "openai", "urllib3")
"""Loggers with whole requests at debug level, prompts included."""


class Redactor:
    """Masks known secrets anywhere in a line."""

    def __init__(self, secrets: Iterable[str]) -> None:
        spellings = {text for secret in secrets for text in _spellings(secret)}
        longest_first = sorted(spellings, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if spellings else None

    def redact(self, line: str) -> str:
        """Return the line with every secret masked."""
        return line if self._pattern is None else self._pattern.sub(MASK, line)


class Renderer:
    """The last processor: renders an event as a line, then masks secrets, also in tracebacks."""

    def __init__(self, render: Processor, redactor: Redactor) -> None:
        self._render = render
        self._redactor = redactor

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> str:
        return self._redactor.redact(str(self._render(logger, method, event)))


def configure_logging(
    settings: LogSettings, secrets: Iterable[str] = (), stream: TextIO | None = None
) -> None:
    """Set up structlog and the root logger of the process; `stream` is stderr by default."""
    out = stream or sys.stderr
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer = Renderer(_renderer(settings, colors=out.isatty()), Redactor(secrets))
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(out),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(out)
    strip = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, _add_logger_name], processors=[strip, renderer]
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    logging.captureWarnings(True)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))


def _renderer(settings: LogSettings, colors: bool) -> Processor:
    if settings.format == "json":
        return _to_json
    plain = (
        structlog.dev.plain_traceback
    )  # the default shows local variables where rich is installed
    return structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=plain)


def _to_json(logger: WrappedLogger, method: str, event: EventDict) -> str:
    event = structlog.processors.format_exc_info(logger, method, event)
    return orjson.dumps(dict(event), default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def _add_logger_name(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    record: logging.LogRecord = event["_record"]
    event["logger"] = record.name
    return event


def _spellings(secret: str) -> Iterator[str]:
    """Yield the spellings of a secret, or of the secret part, for masking."""
    for text in _parts(secret):
        if len(text) >= SHORTEST_SECRET:
            yield from {text, quote(text, safe=""), json.dumps(text)[1:-1], repr(text)[1:-1]}
            yield orjson.dumps(text).decode()[1:-1]


def _parts(secret: str) -> list[str]:
    """Return a secret and the parts: the token of `Bearer <token>`, the password of a URL."""
    try:
        url = urlsplit(secret)
        passwords = [url.password] if url.password is not None else []
    except ValueError:  # not a URL
        return [secret, *secret.split()]
    passwords += _SENTINEL_PASSWORD.findall(url.query)
    if passwords:
        return [secret, *passwords, *map(unquote, passwords)]
    return [secret, *secret.split()]
