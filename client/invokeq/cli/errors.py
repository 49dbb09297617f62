"""How a command ends when something is wrong: one line on stderr, and a status."""

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Final, NoReturn

from invokeq.cli.render.text import one_line
from invokeq.protocol.errors import InvokeqError

FAILED: Final = 1

MISUSED: Final = 2
"""The command line itself is wrong."""

INTERRUPTED: Final = 130
"""What shells give for a process that SIGINT ended."""

PIPE_CLOSED: Final = 141
"""What shells give for a process that SIGPIPE ended."""


@contextmanager
def exit_on_error() -> Generator[None]:
    """Turn an error into one line and an exit; a context manager, and a decorator for commands.

    Ctrl-C and a reader of our output that has gone end the command without a word.
    """
    try:
        yield
        sys.stdout.flush()  # a failure at the interpreter's own end would be shown as a trace
    except InvokeqError as error:
        fail(_with_request(str(error), error.request_id))
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
    except BrokenPipeError:
        _mute_stdout()
        raise SystemExit(PIPE_CLOSED) from None
    except OSError as error:
        _mute_stdout()
        fail(str(error))


def _with_request(problem: str, request_id: str | None) -> str:
    if request_id is None or request_id in problem:
        return problem
    return f"{problem} [request {request_id}]"


def fail(problem: str, status: int = FAILED) -> NoReturn:
    """Say what is wrong and end with `status`."""
    write_note(f"error: {problem}")
    raise SystemExit(status)


def write_note(message: str) -> None:
    """Write one line to stderr."""
    with suppress(BrokenPipeError):
        sys.stderr.write(f"{one_line(message)}\n")
        sys.stderr.flush()


def _mute_stdout() -> None:
    """Keep the interpreter from flushing, at its end, into what cannot be written to."""
    with suppress(OSError, ValueError):  # stdout that is no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
