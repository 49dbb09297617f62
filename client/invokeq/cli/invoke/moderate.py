"""`invokeq invoke moderate`: judge whether a text is sensitive."""

from functools import partial
from typing import Annotated, Final

import typer

from invokeq.cli.invoke.frame import Frame, invoke_command
from invokeq.cli.invoke.inputs import read_text
from invokeq.cli.options import File, Json, Model, split_model

EXAMPLES: Final = (
    'invokeq invoke moderate -m openai/omni-moderation-latest "You are kind."',
    "invokeq invoke moderate -m local/safetype -f comment.txt && publish comment.txt",
)

SENSITIVE: Final = 3
"""Exit status for a sensitive text: 0 means clean, and failures have other statuses."""


@invoke_command
def moderate(
    frame: Frame,
    model: Model,
    text: Annotated[
        str | None,
        typer.Argument(metavar="TEXT", help="What to judge; without it, or with -, stdin."),
    ] = None,
    file: File = None,
    as_json: Json = False,
) -> None:
    """Judge whether a text is sensitive.

    Prints `clean` and exits with 0, or prints `sensitive` and exits with 3. Errors have other
    exit codes.
    """
    from invokeq.cli.render.results import show_verdict

    sensitive = frame.run_invocation(
        lambda session: session.model.moderation.submit(
            split_model(model), read_text("TEXT", text, file), **frame.extras
        ),
        partial(show_verdict, as_json=as_json),
    )
    if sensitive:
        raise typer.Exit(SENSITIVE)
