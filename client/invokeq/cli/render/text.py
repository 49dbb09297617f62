"""Texts for a terminal, without control characters from models, vendors or plugins."""

from decimal import Decimal
from typing import Final

_STEERING: Final = {
    code: None for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\t\n"
}

_MINUTE: Final = 60
_HOUR: Final = 3600
_DAY: Final = 86_400


def printable(text: str) -> str:
    """Return the text without control and escape characters, except tabs and line ends."""
    return text.translate(_STEERING)


def one_line(text: str) -> str:
    """Return the text as one printable line."""
    return printable(" ".join(text.split()))


def duration(seconds: float) -> str:
    """Return a duration in the largest fitting unit: 0.25 s, 42 s, 3 min, 2 h, 5 d."""
    seconds = max(seconds, 0.0)
    if seconds < 1:
        return f"{seconds:.2f} s"
    for unit, name in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= 2 * unit:
            return f"{seconds // unit:.0f} {name}"
    return f"{seconds:.0f} s"


def counted(count: int, noun: str) -> str:
    """Return a number and a noun: 1 vector, 2 vectors."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def amount(value: Decimal) -> str:
    """Return an amount of money without trailing zeros and without an exponent."""
    return f"{value.normalize():f}"
