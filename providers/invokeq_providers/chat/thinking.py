"""Takes the reasoning off an answer, which providers wrap in `<think>` as Dify's do."""

from typing import Final

_OPENING: Final = "<think>"
_CLOSING: Final = "</think>"


def without_thinking(text: str) -> str:
    """Give an answer without the reasoning before it; nothing is left if that was cut off."""
    start = text.lstrip()
    return start.partition(_CLOSING)[2] if start.startswith(_OPENING) else text
