"""`invokeq invoke stt`: write down what is said in an audio file."""

from typing import Annotated, Final

import typer

from invokeq.cli.errors import exit_on_error
from invokeq.cli.invoke.inputs import open_binary
from invokeq.cli.options import Deadline, Detach, Json, Model, OwnId, Plugin, Redis, split_model

EXAMPLES: Final = (
    "invokeq invoke stt -m local/whisper-tiny memo.mp3",
    "invokeq invoke stt -m openai/whisper-1 --json < memo.wav",
    'invokeq invoke tts -m local/espeak "One, two." | invokeq invoke stt -m local/whisper-tiny',
)


@exit_on_error()
def stt(
    model: Model,
    file: Annotated[
        str | None,
        typer.Argument(metavar="FILE", help="The audio; without it, or with -, stdin."),
    ] = None,
    as_json: Json = False,
    request_id: OwnId = None,
    deadline: Deadline = None,
    detach: Detach = False,
    redis: Redis = None,
    plugin: Plugin = "cli",
) -> None:
    """Write down what is said in an audio file.

    mp3, wav, flac, ogg, m4a, mp4, webm and aac are recognised by what is in them, whatever the
    file is called.
    """
    from invokeq.cli.invoke.run_invocation import run_invocation
    from invokeq.cli.render.meter import Meter
    from invokeq.cli.render.results import show_text
    from invokeq.session import Session

    meter = Meter()
    with Session(plugin, redis=redis) as session:
        with open_binary("FILE", file) as audio:
            invocation = session.model.speech2text.submit(
                split_model(model),
                audio,
                request_id=request_id,
                deadline=deadline,
                detached=detach,
            )
        run_invocation(
            invocation,
            lambda: show_text(invocation, invocation, meter, as_json=as_json),
            detach=detach,
        )
