"""Shows the vendor calls that failed before something was said."""

from dataclasses import asdict

import typer

from invokeq.cli.render.output import write_json
from invokeq.cli.render.text import one_line
from invokeq.operations.history import VendorRetry


def retry_line(retry: VendorRetry) -> str:
    """Say in one line which call failed, why, and what came next."""
    then = "nobody" if retry.next is None else f"{retry.next} after {retry.wait:.3f} s"
    return one_line(f"call {retry.call} of {retry.model}: {retry.problem}; next: {then}")


def show_retry(retry: VendorRetry) -> None:
    """Write the line to stderr."""
    typer.secho(f"retry: {retry_line(retry)}", err=True, dim=True)


def write_retry(retry: VendorRetry) -> None:
    """Write a line of JSON to stdout, told from others by its one key `retry`."""
    write_json({"retry": asdict(retry)})
