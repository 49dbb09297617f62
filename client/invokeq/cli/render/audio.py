"""Writes streamed speech to a file or to stdout."""

import sys
from collections.abc import Generator, Iterable
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

from invokeq.cli.errors import write_note
from invokeq.cli.invoke.inputs import STDIN
from invokeq.cli.render.meter import Meter, optional_cost, write_summary
from invokeq.cli.render.output import write_json
from invokeq.invocation import Invocation
from invokeq.protocol.audio import AUDIO_FORMATS
from invokeq.protocol.errors import InvalidRequestError
from invokeq.results.speech import AudioSegment

STDOUT = STDIN
"""Stands for stdout in place of a file name."""


def check_output(output: str | None, *, as_json: bool) -> None:
    """Raise InvalidRequestError if audio would go to a terminal or mix with JSON."""
    if output in (None, STDOUT):
        if as_json:
            raise InvalidRequestError(
                field="--json", problem="needs --output FILE, since stdout carries the audio"
            )
        if sys.stdout.isatty():
            raise InvalidRequestError(
                field="--output", problem="is missing: name a file, or pipe the audio on"
            )


def show_audio(
    invocation: Invocation[Any, Any],
    segments: Iterable[AudioSegment],
    meter: Meter,
    *,
    output: str | None,
    as_json: bool,
    timed: bool = True,
) -> None:
    """Write each segment on arrival; as JSON, print afterwards where and how much was written."""
    size, mime_type = 0, None
    with ExitStack() as stack:
        advance = stack.enter_context(progress())
        sink: IO[bytes] | None = None
        for segment in meter.watch(segments):
            sink = sink or stack.enter_context(_open(output))  # no file before the first segment
            sink.write(segment)
            sink.flush()
            size, mime_type = size + len(segment), segment.mime_type
            advance(meter.count, size)
    if as_json:
        counts = {"segments": meter.count, "bytes": size}
        written = {"output": output, "mime_type": mime_type, **counts}
        write_json({**written, "request_id": invocation.request_id})
    _check_suffix(output, mime_type)
    parts = [f"audio: {size} bytes of {mime_type}", f"segments: {meter.count}"]
    parts += optional_cost(invocation.usage)
    write_summary(invocation, [*parts, *(meter.times("segment") if timed else [])])


class Advance(Protocol):
    """Takes the number of segments and bytes so far."""

    def __call__(self, segments: int, size: int) -> None: ...


@contextmanager
def progress() -> Generator[Advance]:
    """Show a progress bar on stderr, if stderr is a terminal."""
    if not sys.stderr.isatty():
        yield lambda segments, size: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, FileSizeColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.fields[segments]} segments"),
        BarColumn(),  # the length of the speech is unknown, so the bar pulses
        FileSizeColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None, segments=0)
        yield lambda segments, size: bar.update(task, completed=size, segments=segments)


@contextmanager
def _open(output: str | None) -> Generator[IO[bytes]]:
    if output in (None, STDOUT):
        yield sys.stdout.buffer
    else:
        with Path(output).open("wb") as file:
            yield file


def _check_suffix(output: str | None, mime_type: str | None) -> None:
    """Print a note if a file's suffix does not fit the format: players go by the suffix."""
    suffix = Path(output or "").suffix.lower()
    fitting = [known.suffix for known in AUDIO_FORMATS if known.mime_type == mime_type]
    if suffix and fitting and suffix not in fitting:
        write_note(f"note: {output} is {mime_type}, for which the suffix is {fitting[0]}")
