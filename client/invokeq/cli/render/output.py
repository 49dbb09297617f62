"""Writes a model's output to stdout."""

import sys
from typing import Any

from invokeq.cli.render.text import printable


def write(text: str) -> None:
    """Write and flush, for readers of a stream."""
    sys.stdout.write(text)
    sys.stdout.flush()


def write_plain(text: str) -> None:
    """Write a text of a model with a final newline, without control characters on a terminal."""
    shown = printable(text) if sys.stdout.isatty() else text
    write(shown if shown.endswith("\n") else f"{shown}\n")


def write_json(value: Any, *, indent: bool = False) -> None:
    """Write a value as one line of JSON, or indented over several lines."""
    import orjson

    options = orjson.OPT_APPEND_NEWLINE | (orjson.OPT_INDENT_2 if indent else 0)
    write(orjson.dumps(value, option=options).decode())
