"""`invokeq invoke summary`: summarise a text with the operator's summary model."""

from functools import partial
from typing import Annotated, Final

import typer

from invokeq.cli.errors import write_note
from invokeq.cli.invoke.frame import Frame, invoke_command
from invokeq.cli.invoke.inputs import read_text
from invokeq.cli.options import File, Json

EXAMPLES: Final = (
    "invokeq invoke summary -f report.txt",
    'curl -s https://example.org | invokeq invoke summary --instruction "In three sentences."',
)

MIN_LENGTH: Final = 1024
"""Characters; a shorter text comes back unchanged, as in Dify's SDK."""


@invoke_command
def summary(
    frame: Frame,
    text: Annotated[
        str | None,
        typer.Argument(metavar="TEXT", help="What to summarise; without it, or with -, stdin."),
    ] = None,
    file: File = None,
    instruction: Annotated[
        str, typer.Option(metavar="TEXT", help="What the summary is for, or how it shall be.")
    ] = "",
    min_length: Annotated[
        int, typer.Option(metavar="N", help="Leave texts of fewer characters as they are.")
    ] = MIN_LENGTH,
    as_json: Json = False,
) -> None:
    """Summarise a text.

    Uses the operator's summary model: `[system] summary_model` in the workers' invokeq.toml. A
    short text comes back unchanged, without a call.
    """
    from invokeq.cli.render.output import write_json, write_plain
    from invokeq.cli.render.results import show_text

    given = read_text("TEXT", text, file)
    if len(given) < min_length:
        if as_json:
            write_json({"summary": given})
        else:
            write_plain(given)
        write_note(f"unchanged: {len(given)} characters are fewer than {min_length}")
        return
    frame.run_invocation(
        lambda session: session.model.summary.submit(given, instruction, **frame.extras),
        partial(show_text, field="summary", as_json=as_json),
    )
