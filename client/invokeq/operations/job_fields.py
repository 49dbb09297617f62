"""Read fields of a job record leniently: a plugin may have written any bytes there."""

from datetime import datetime
from typing import Final

from invokeq.protocol.redis.resp import Reply

_MOST_DIGITS: Final = 7  # of an attempt that the claim script believes


def text_of(value: Reply) -> str:
    """Return a text, with `\\ufffd` for bytes outside UTF-8."""
    return value.decode(errors="replace") if value else ""


def number_of(value: Reply) -> int:
    """Return a count, and 0 for any other value."""
    text = text_of(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS else 0


def time_of(value: Reply) -> datetime | None:
    """Return a time with a zone, and None for any other value."""
    try:
        time = datetime.fromisoformat(text_of(value))
    except ValueError:
        return None
    return time if time.tzinfo else None
