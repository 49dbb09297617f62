"""`invokeq cancel`: stop waiting and running invocations."""

from typing import TYPE_CHECKING, Annotated

import typer

from invokeq.cli.errors import FAILED, exit_on_error, write_note
from invokeq.cli.options import Redis

if TYPE_CHECKING:
    from invokeq.session import Session


@exit_on_error()
def cancel(
    request_ids: Annotated[
        list[str], typer.Argument(metavar="REQUEST_ID...", help="The invocations to stop.")
    ],
    redis: Redis = None,
) -> None:
    """Stop waiting and running invocations.

    A waiting invocation never runs. For a running invocation, the worker ends the model call. Exits
    with 1 if one of the invocations neither waits nor runs.
    """
    from invokeq.protocol.redis.keys import check_request_id
    from invokeq.session import Session

    # All first: a typing error in the last id must not leave half of the list cancelled.
    for request_id in request_ids:
        check_request_id(request_id)
    with Session("cli", redis=redis) as session:
        stopped = [_cancel(session, request_id) for request_id in request_ids]
    if not all(stopped):
        raise typer.Exit(FAILED)


def _cancel(session: "Session", request_id: str) -> bool:
    """Cancel one invocation, print the outcome, and return whether there was one to cancel."""
    from invokeq.operations.control import cancel as cancel_plan
    from invokeq.protocol.errors import StreamExpiredError
    from invokeq.session_base import parts_of

    try:
        before = session.attach(request_id).status()
    except StreamExpiredError:
        write_note(f"{request_id}: nothing to stop: it is not known, or its stream has expired")
        return False
    # Race: the invocation may end between the two round trips; the plan's reply decides.
    if not parts_of(session).transport.run(cancel_plan(request_id, reason="operator")):
        after = session.attach(request_id).status()
        write_note(f"{request_id}: nothing to stop: it is {after.state}")
        return False
    if before.state == "queued":
        typer.echo(f"{request_id}: cancelled before it ran")
    else:
        typer.echo(f"{request_id}: stopping; worker {before.worker} was told to end it")
    return True
