"""`invokeq invoke tts`: speak a text into a file or a pipe."""

from typing import Annotated, Final

import typer

from invokeq.cli.errors import exit_on_error
from invokeq.cli.invoke.inputs import read_text
from invokeq.cli.options import (
    Deadline,
    Detach,
    File,
    Model,
    OwnId,
    Plugin,
    Redis,
    split_model,
)

EXAMPLES: Final = (
    'invokeq invoke tts -m local/espeak "Good morning." -o morning.mp3',
    "invokeq invoke tts -m openai/tts-1 --voice nova -f speech.txt -o speech.mp3",
    'echo "Good morning." | invokeq invoke tts -m local/espeak | mpv -',
)


@exit_on_error()
def tts(
    model: Model,
    text: Annotated[
        str | None,
        typer.Argument(metavar="TEXT", help="What to say; without it, or with -, stdin."),
    ] = None,
    file: File = None,
    voice: Annotated[
        str,
        typer.Option("--voice", "-v", metavar="NAME", help="Who says it; else the default."),
    ] = "",
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Where the audio goes; else stdout.",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print what was written, as JSON; needs --output.")
    ] = False,
    request_id: OwnId = None,
    deadline: Deadline = None,
    detach: Detach = False,
    redis: Redis = None,
    plugin: Plugin = "cli",
) -> None:
    """Speak a text.

    The audio is written while it is made, segment by segment, each of which plays alone, as does
    the whole. Ctrl-C cancels the invocation and leaves what there is.
    """
    from invokeq.cli.invoke.run_invocation import run_invocation
    from invokeq.cli.render.audio import check_output, show_audio
    from invokeq.cli.render.meter import Meter
    from invokeq.session import Session

    if not detach:
        check_output(output, as_json=as_json)
    meter = Meter()
    with Session(plugin, redis=redis) as session:
        invocation = session.model.tts.submit(
            {**split_model(model), "voice": voice},
            read_text("TEXT", text, file),
            request_id=request_id,
            deadline=deadline,
            detached=detach,
        )
        run_invocation(
            invocation,
            lambda: show_audio(invocation, invocation, meter, output=output, as_json=as_json),
            detach=detach,
        )
