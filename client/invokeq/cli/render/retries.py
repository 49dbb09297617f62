"""Prints the failed vendor calls before the first output."""

from dataclasses import asdict

import typer

from invokeq.cli.render.output import write_json
from invokeq.cli.render.text import one_line
from invokeq.operations.history import VendorRetry


def retry_line(retry: VendorRetry) -> str:
    """Return one line: the failed call, the problem, and the next call."""
    then = "nobody" if retry.next is None else f"{retry.next} after {retry.wait:.3f} s"
    return one_line(f"call {retry.call} of {retry.model}: {retry.problem}; next: {then}")


def show_retry(retry: VendorRetry) -> None:
    """Print a retry to stderr."""
    typer.secho(f"retry: {retry_line(retry)}", err=True, dim=True)


def write_retry(retry: VendorRetry) -> None:
    """Print a retry to stdout as a line of JSON with the only key `retry`."""
    write_json({"retry": asdict(retry)})
