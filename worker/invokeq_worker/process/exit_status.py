"""How a command of the worker ends when something is wrong: one line on stderr, and a status."""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from invokeq.protocol.errors import ConfigurationError, InvokeqError

FAILED: Final = 1

MISCONFIGURED: Final = 78
"""EX_CONFIG of sysexits.h: what a worker process ends with when starting it again cannot help."""


@contextmanager
def exit_on_error(misconfigured: int = FAILED) -> Generator[None]:
    """Turn an InvokeqError into its line and an exit, a ConfigurationError into `misconfigured`."""
    try:
        yield
    except InvokeqError as error:
        sys.stderr.write(f"error: {' '.join(str(error).split())}\n")
        status = misconfigured if isinstance(error, ConfigurationError) else FAILED
        raise SystemExit(status) from None
