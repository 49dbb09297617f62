"""Reads what a plugin may have written into the hash of its job, as far as it can be read."""

from datetime import datetime
from typing import Final

from invokeq.protocol.redis.resp import Reply

_MOST_DIGITS: Final = 7  # of an attempt that the claim script believes


def text_of(value: Reply) -> str:
    """Give a text, with `\\ufffd` for bytes that are none."""
    return value.decode(errors="replace") if value else ""


def number_of(value: Reply) -> int:
    """Give a count, and 0 for what is none."""
    text = text_of(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS else 0


def time_of(value: Reply) -> datetime | None:
    """Give a time that has a zone, and None for what is none."""
    try:
        time = datetime.fromisoformat(text_of(value))
    except ValueError:
        return None
    return time if time.tzinfo else None
