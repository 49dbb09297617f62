"""eSpeak NG: text to speech in many languages, as mp3.

An answer is bare mp3 frames of one bit rate and sampling rate, without tags. An answer plays alone,
and answers joined byte by byte play as one. The voice is a robot's, and understandable. Equal texts
sound equal, but differ in bytes.

eSpeak NG keeps state in global variables, so a process speaks one text at a time. Speaking and
encoding release the interpreter's lock.
"""

import ctypes
import importlib
import re
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final

from invokeq.protocol.errors import InvalidRequestError
from invokeq_providers.base import Speech, SpeechCall
from invokeq_providers.local.packages import package_folder
from invokeq_providers.local.thread import Stop, ThreadedModel

MIME_TYPE: Final = "audio/mpeg"
_EXTRA: Final = "local-audio"
_KILOBITS: Final = 48  # a second; more is not audible in this voice
_QUALITY: Final = 5  # of LAME: from 2, the best, to 7, the fastest
_SHORTEST_S: Final = 0.25  # players take less than a few frames for no mp3
_ENCODED_AT_ONCE: Final = 1 << 20  # bytes of PCM, in 0.1 s; a cancellation waits as long

# From eSpeak NG's speak_lib.h.
_SYNCHRONOUS: Final = 2
_DO_NOT_EXIT: Final = 0x8000
_BY_CHARACTER: Final = 1
_UTF8_WITH_PAUSE_AT_END: Final = 0x1001
_BUFFER_MS: Final = 200
_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)

_VOICE: Final = re.compile(r"[A-Za-z0-9+-]+")
# Two providers of the type `local` in one process share eSpeak NG's global state.
_one_at_a_time: Final = threading.Lock()


class Speaker(ThreadedModel["Espeak"]):
    """The synthesiser, one thread, and the queue of calls."""

    def __init__(self, name: str) -> None:
        package_folder("lameenc", feature=name, extra=_EXTRA)
        folder = package_folder("espeakng_loader", feature=name, extra=_EXTRA)
        super().__init__(name, lambda: _espeak(folder))

    async def speak(self, call: SpeechCall) -> Speech:
        """Return the text of a call as mp3. Raise InvalidRequestError for an unknown voice."""

        def work(espeak: Espeak, stop: Stop) -> Speech:
            pcm = espeak.pcm(call.text, call.voice, stop)
            stop.check()
            return Speech(_mp3(pcm, espeak.rate, stop), MIME_TYPE)

        return await self.run(work, call.heartbeat)


class Espeak:
    """The initialised library; `rate` is in samples per second."""

    def __init__(self, folder: Path) -> None:
        library = next(iter(sorted(folder.glob("*espeak-ng.*"))), None)
        if library is None:
            raise FileNotFoundError(f"no library in {folder}")
        self._library = ctypes.CDLL(str(library))
        self.rate: int = self._library.espeak_Initialize(
            _SYNCHRONOUS, _BUFFER_MS, str(folder).encode(), _DO_NOT_EXIT
        )
        if self.rate <= 0:
            raise FileNotFoundError(
                f"eSpeak NG finds no data in {folder}; it takes paths of up to 144 bytes"
            )
        self._take: Callable[[bytes], bool] = _nothing
        self._callback = _Callback(self._hand_over)
        self._library.espeak_SetSynthCallback(self._callback)

    def pcm(self, text: str, voice: str, stop: Stop) -> bytes:
        """Return the speech as mono PCM, 16 bits a sample, `rate` samples per second."""
        spoken = bytearray()

        def take(samples: bytes) -> bool:
            spoken.extend(samples)
            return stop.requested

        # A NUL would end the text early: eSpeak NG reads C strings.
        data = text.replace("\0", " ").encode("utf-8", "replace")
        with _one_at_a_time:
            self._choose(voice)
            self._take = take
            status: int = self._library.espeak_Synth(
                data, len(data) + 1, 0, _BY_CHARACTER, 0, _UTF8_WITH_PAUSE_AT_END, None, None
            )
            self._take = _nothing
        if status != 0:
            raise RuntimeError(f"eSpeak NG failed with status {status}")
        return bytes(spoken)

    def _choose(self, voice: str) -> None:
        # eSpeak NG would read a name with slashes as a path.
        if not _VOICE.fullmatch(voice) or self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise InvalidRequestError(field="voice", problem=f"eSpeak NG has no voice {voice!r}")

    def _hand_over(self, samples: Any, count: int, events: int | None) -> int:
        """Take samples from the library. Return 1 to stop the synthesis, else 0."""
        del events
        if not samples or count <= 0:
            return 0
        return int(self._take(ctypes.string_at(samples, count * 2)))


def _nothing(samples: bytes) -> bool:
    del samples
    return True


@cache
def _espeak(folder: Path) -> Espeak:
    return Espeak(folder)


def _mp3(pcm: bytes, rate: int, stop: Stop) -> bytes:
    # Imported by name: lameenc has no types.
    lameenc: Any = importlib.import_module("lameenc")
    encoder = lameenc.Encoder()
    encoder.silence()
    encoder.set_channels(1)
    encoder.set_in_sample_rate(rate)
    encoder.set_bit_rate(_KILOBITS)
    encoder.set_quality(_QUALITY)
    pcm = pcm.ljust(int(rate * _SHORTEST_S) * 2, b"\0")
    frames: list[bytes] = []
    for start in range(0, len(pcm), _ENCODED_AT_ONCE):
        stop.check()
        frames.append(bytes(encoder.encode(pcm[start : start + _ENCODED_AT_ONCE])))
    frames.append(bytes(encoder.flush()))
    return b"".join(frames)
