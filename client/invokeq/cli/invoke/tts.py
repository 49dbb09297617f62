"""`invokeq invoke tts`: speak a text into a file or a pipe."""

from functools import partial
from typing import Annotated, Final

import typer

from invokeq.cli.invoke.frame import Frame, invoke_command
from invokeq.cli.invoke.inputs import read_text
from invokeq.cli.options import File, Model, split_model

EXAMPLES: Final = (
    'invokeq invoke tts -m local/espeak "Good morning." -o morning.mp3',
    "invokeq invoke tts -m openai/tts-1 --voice nova -f speech.txt -o speech.mp3",
    'echo "Good morning." | invokeq invoke tts -m local/espeak | mpv -',
)


@invoke_command
def tts(
    frame: Frame,
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
) -> None:
    """Speak a text.

    Audio is written as it arrives, segment by segment. Each segment plays alone, as does the whole.
    Ctrl-C cancels the invocation and keeps the audio written so far.
    """
    from invokeq.cli.render.audio import check_output, show_audio

    if not frame.detach:  # before the call, which costs money
        check_output(output, as_json=as_json)
    frame.run_invocation(
        lambda session: session.model.tts.submit(
            {**split_model(model), "voice": voice},
            read_text("TEXT", text, file),
            **frame.extras,
        ),
        partial(show_audio, output=output, as_json=as_json),
    )
