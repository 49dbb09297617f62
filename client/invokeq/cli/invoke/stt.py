"""`invokeq invoke stt`: transcribe an audio file."""

from functools import partial
from typing import TYPE_CHECKING, Annotated, Final

import typer

from invokeq.cli.invoke.frame import Frame, invoke_command
from invokeq.cli.invoke.inputs import open_binary
from invokeq.cli.options import Json, Model, split_model

if TYPE_CHECKING:
    from invokeq.invocation import Invocation
    from invokeq.session import Session

EXAMPLES: Final = (
    "invokeq invoke stt -m local/whisper-tiny memo.mp3",
    "invokeq invoke stt -m openai/whisper-1 --json < memo.wav",
    'invokeq invoke tts -m local/espeak "One, two." | invokeq invoke stt -m local/whisper-tiny',
)


@invoke_command
def stt(
    frame: Frame,
    model: Model,
    file: Annotated[
        str | None,
        typer.Argument(metavar="FILE", help="The audio; without it, or with -, stdin."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Transcribe an audio file.

    mp3, wav, flac, ogg, m4a, mp4, webm and aac are recognised by content, not by file name.
    """
    from invokeq.cli.render.results import show_text

    def submit(session: "Session") -> "Invocation[str, str]":
        with open_binary("FILE", file) as audio:
            return session.model.speech2text.submit(split_model(model), audio, **frame.extras)

    frame.run_invocation(submit, partial(show_text, as_json=as_json))
