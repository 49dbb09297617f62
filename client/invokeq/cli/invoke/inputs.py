"""The input of a command: an argument, a file, or stdin."""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from invokeq.protocol.errors import InvalidRequestError

STDIN: Final = "-"
"""Stands for stdin in place of a text or a file name."""


def read_text(name: str, argument: str | None, file: str | None = None) -> str:
    """Return the argument called `name`, else the text of the file or of stdin.

    Raises InvalidRequestError if the text is empty or not UTF-8.
    """
    if argument is not None and file is not None:
        raise _both(name)
    text = _read(name, file) if argument in (None, STDIN) else argument
    if not text.strip():
        raise InvalidRequestError(field=name, problem="is empty")
    return text


def read_texts(name: str, arguments: list[str] | None, file: str | None = None) -> list[str]:
    """Return the arguments, else the non-blank lines of the file or of stdin.

    Raises InvalidRequestError without any text, or for input outside UTF-8.
    """
    if arguments and file is not None:
        raise _both(name)
    if arguments and arguments != [STDIN]:
        return arguments
    lines = [line for line in _read(name, file).splitlines() if line.strip()]
    if not lines:
        raise InvalidRequestError(field=name, problem="is empty")
    return lines


@contextmanager
def open_binary(name: str, path: str | None) -> Generator[IO[bytes]]:
    """Open the file at `path`, or stdin."""
    if path not in (None, STDIN):
        with Path(path).open("rb") as file:
            yield file
        return
    _check_piped(name, path)
    yield sys.stdin.buffer


def _read(name: str, file: str | None) -> str:
    if file in (None, STDIN):
        _check_piped(name, file)
        raw, origin = sys.stdin.buffer.read(), "stdin"
    else:
        raw, origin = Path(file).read_bytes(), file
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise InvalidRequestError(field=origin, problem="is not UTF-8 text") from None


def _check_piped(name: str, given: str | None) -> None:
    """Raise InvalidRequestError instead of waiting for unexpected input from a terminal."""
    if given is None and sys.stdin.isatty():
        raise InvalidRequestError(field=name, problem="is missing: give one, or pipe it in")


def _both(name: str) -> InvalidRequestError:
    return InvalidRequestError(field=name, problem="is given twice: take it or --file")
