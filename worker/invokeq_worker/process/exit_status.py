"""End a command of the worker with one line on stderr and an exit status."""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from invokeq.protocol.errors import ConfigurationError, InvokeqError

FAILED: Final = 1

MISCONFIGURED: Final = 78
"""EX_CONFIG of sysexits.h: the status of a worker process beyond the help of a restart."""


@contextmanager
def exit_on_error(misconfigured: int = FAILED) -> Generator[None]:
    """Turn an InvokeqError into one line and an exit; `misconfigured` is for ConfigurationError."""
    try:
        yield
    except InvokeqError as error:
        sys.stderr.write(f"error: {' '.join(str(error).split())}\n")
        status = misconfigured if isinstance(error, ConfigurationError) else FAILED
        raise SystemExit(status) from None
