"""The end of a failed command: one line on stderr and an exit status."""

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Final, NoReturn

from invokeq.cli.render.text import one_line
from invokeq.protocol.errors import InvokeqError

FAILED: Final = 1

MISUSED: Final = 2
"""Exit status for a wrong command line."""

INTERRUPTED: Final = 130
"""The exit status of shells for a process killed by SIGINT."""

PIPE_CLOSED: Final = 141
"""The exit status of shells for a process killed by SIGPIPE."""


@contextmanager
def exit_on_error() -> Generator[None]:
    """Turn an error into one line on stderr and an exit; a context manager and a decorator.

    Ctrl-C and a closed stdout end the command without a message.
    """
    try:
        yield
        sys.stdout.flush()  # a later failure, at the interpreter's exit, would show a traceback
    except InvokeqError as error:
        fail(_with_request(str(error), error.request_id))
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
    except BrokenPipeError:
        _mute_stdout()
        raise SystemExit(PIPE_CLOSED) from None
    except OSError as error:  # a full disk behind stdout, a missing input file
        _mute_stdout()
        fail(str(error))


def _with_request(problem: str, request_id: str | None) -> str:
    if request_id is None or request_id in problem:
        return problem
    return f"{problem} [request {request_id}]"


def fail(problem: str, status: int = FAILED) -> NoReturn:
    """Print an error to stderr and exit with `status`."""
    write_note(f"error: {problem}")
    raise SystemExit(status)


def write_note(message: str) -> None:
    """Write one line to stderr, without control characters."""
    with suppress(BrokenPipeError):
        sys.stderr.write(f"{one_line(message)}\n")
        sys.stderr.flush()


def _mute_stdout() -> None:
    """Redirect stdout to /dev/null, so that the flush at the interpreter's exit cannot fail."""
    with suppress(OSError, ValueError):  # stdout without a file descriptor
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
