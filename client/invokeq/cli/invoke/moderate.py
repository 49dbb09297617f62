"""`invokeq invoke moderate`: tell whether a text is sensitive."""

from typing import Annotated, Final

import typer

from invokeq.cli.errors import exit_on_error
from invokeq.cli.invoke.inputs import read_text
from invokeq.cli.options import (
    Deadline,
    Detach,
    File,
    Json,
    Model,
    OwnId,
    Plugin,
    Redis,
    split_model,
)

EXAMPLES: Final = (
    'invokeq invoke moderate -m openai/omni-moderation-latest "You are kind."',
    "invokeq invoke moderate -m local/safetype -f comment.txt && publish comment.txt",
)

SENSITIVE: Final = 3
"""The status for a sensitive text: 0 is for clean ones alone, and other failures are other
numbers."""


@exit_on_error()
def moderate(
    model: Model,
    text: Annotated[
        str | None,
        typer.Argument(metavar="TEXT", help="What to judge; without it, or with -, stdin."),
    ] = None,
    file: File = None,
    as_json: Json = False,
    request_id: OwnId = None,
    deadline: Deadline = None,
    detach: Detach = False,
    redis: Redis = None,
    plugin: Plugin = "cli",
) -> None:
    """Tell whether a text is sensitive.

    Prints `clean` and exits with 0, or prints `sensitive` and exits with 3. A fault is neither.
    """
    from invokeq.cli.invoke.run_invocation import run_invocation
    from invokeq.cli.render.meter import Meter
    from invokeq.cli.render.results import show_verdict
    from invokeq.session import Session

    meter = Meter()
    with Session(plugin, redis=redis) as session:
        invocation = session.model.moderation.submit(
            split_model(model),
            read_text("TEXT", text, file),
            request_id=request_id,
            deadline=deadline,
            detached=detach,
        )
        sensitive = run_invocation(
            invocation,
            lambda: show_verdict(invocation, invocation, meter, as_json=as_json),
            detach=detach,
        )
    if sensitive:
        raise typer.Exit(SENSITIVE)
