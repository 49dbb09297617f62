"""`invokeq attach`: read an invocation's stream, running or finished."""

from contextlib import suppress
from typing import Annotated

import typer

from invokeq.cli.errors import exit_on_error, write_note
from invokeq.cli.options import Redis, RequestId
from invokeq.protocol.errors import StreamExpiredError


@exit_on_error()
def attach(
    request_id: RequestId,
    after: Annotated[
        str | None,
        typer.Option(
            metavar="ID", help="Go on after this event, such as 1-57; else from the start."
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Where audio goes; else stdout.",
        ),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print JSON: a line for each chunk, or the result; and one for each vendor call"
            " that failed.",
        ),
    ] = False,
    redis: Redis = None,
) -> None:
    """Show the answer of an invocation started elsewhere.

    Shows a running or a finished answer, from the start or from --after on. A stream can be read
    until ten minutes after the end. Ctrl-C leaves the invocation running and shows how to go on.
    """
    from invokeq.cli.render.meter import Meter
    from invokeq.cli.render.retries import show_retry, write_retry
    from invokeq.cli.render.show_any import show_any
    from invokeq.session import Session

    with Session("cli", redis=redis) as session:
        invocation = session.attach(request_id, after)
        # An early round trip reports an unavailable Redis at once; the reader would retry first.
        with suppress(StreamExpiredError):  # the reader decides
            invocation.status()
        invocation.on_retry(write_retry if as_json else show_retry)
        try:
            show_any(invocation, Meter(), output=output, as_json=as_json)
        except KeyboardInterrupt:
            write_note(f"left; to go on: invokeq attach {request_id} --after {invocation.last_id}")
            raise
