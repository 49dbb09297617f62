"""Reads an invocation for a command: shows it, leaves it running, or stops it on Ctrl-C."""

from collections.abc import Callable
from typing import Any, TypeVar

import typer

from invokeq.cli.errors import write_note
from invokeq.invocation import Invocation

T = TypeVar("T")


def run_invocation(
    invocation: Invocation[Any, Any], show: Callable[[], T], *, detach: bool
) -> T | None:
    """Show the answer, and give what that gives; with `detach` only the request id is shown."""
    with invocation:
        if detach:
            typer.echo(invocation.request_id)
            return None
        try:
            return show()
        except KeyboardInterrupt:
            write_note(f"cancelled: request {invocation.request_id}")
            raise
