"""Made-up speech: MP3 frames of silence, with the words in a tag for the transcription.

A segment is an ID3v2.4 tag (the text as title, the voice as artist) and frames of MPEG-1 Layer III,
32 kbit/s, 44.1 kHz, mono. Players take one segment, or any number of joined segments.
"""

from collections.abc import Iterator
from typing import Final

BYTES_A_SECOND: Final = 4000

_FRAME: Final = bytes.fromhex("fffb10c4") + bytes(100)
_FEWEST_FRAMES: Final = 2
_HEADER: Final = b"ID3\x04\x00\x00"
_TITLE: Final = b"TIT2"
_ARTIST: Final = b"TPE1"
_UTF8: Final = b"\x03"
_PREFIX: Final = 10  # bytes before what a tag or one of its frames holds


def speak(text: str, voice: str, frames: int | None) -> bytes:
    """Return one segment of `frames` frames, by default one for each character."""
    tag = _frame(_TITLE, text) + _frame(_ARTIST, voice)
    count = max(_FEWEST_FRAMES, len(text) if frames is None else frames)
    return _HEADER + _size(len(tag)) + tag + _FRAME * count


def transcript(audio: bytes) -> str | None:
    """Return the words of joined segments; None for audio from elsewhere."""
    # A tag may come anywhere: players and vendors join segments without a look inside.
    texts = list(_titles(audio))
    return "".join(texts) if texts else None


def _titles(audio: bytes) -> Iterator[str]:
    at = audio.find(_HEADER)
    while at >= 0:
        frame = at + _PREFIX
        if audio[frame : frame + len(_TITLE)] == _TITLE:
            length = _read_size(audio[frame + 4 : frame + 8])
            yield audio[frame + _PREFIX + 1 : frame + _PREFIX + length].decode(errors="replace")
        at = audio.find(_HEADER, frame)


def _frame(name: bytes, text: str) -> bytes:
    content = _UTF8 + text.encode(errors="replace")
    return name + _size(len(content)) + b"\x00\x00" + content


def _size(size: int) -> bytes:
    # "Synchsafe" in ID3v2.4: 7 bits a byte, so that no size looks like the sync of an MP3 frame.
    return bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))


def _read_size(size: bytes) -> int:
    number = 0
    for byte in size:
        number = number << 7 | byte
    return number
