"""Removal of reasoning from an answer; providers wrap reasoning in `<think>`, as in Dify."""

from typing import Final

_OPENING: Final = "<think>"
_CLOSING: Final = "</think>"


def without_thinking(text: str) -> str:
    """Return an answer without the reasoning; an answer cut off in the reasoning is empty."""
    start = text.lstrip()
    return start.partition(_CLOSING)[2] if start.startswith(_OPENING) else text
