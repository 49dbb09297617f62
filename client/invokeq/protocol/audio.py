"""Recognises audio by its first bytes, whatever name or type it was given.

Pure, and used on both sides: a client refuses what is no audio before it sends anything, and a worker
believes nobody. MPEG and AAC frames have a mark of eleven bits only, so a second frame must follow
the first where `head` is long enough to show it.

Sources: RFC 9639 (FLAC), RFC 3533 (Ogg), RFC 2361 (WAVE), ISO/IEC 11172-3 and 13818-3 (MPEG audio),
ISO/IEC 13818-7 (ADTS), ISO/IEC 14496-12 (MP4), RFC 9559 (Matroska and WebM), id3.org (ID3v2.4).
"""

from typing import Final, NamedTuple


class AudioFormat(NamedTuple):
    """A container; `suffix` is that of its files, with the dot."""

    mime_type: str
    suffix: str


MP3: Final = AudioFormat("audio/mpeg", ".mp3")
WAV: Final = AudioFormat("audio/wav", ".wav")
FLAC: Final = AudioFormat("audio/flac", ".flac")
OGG: Final = AudioFormat("audio/ogg", ".ogg")
M4A: Final = AudioFormat("audio/mp4", ".m4a")
MP4: Final = AudioFormat("audio/mp4", ".mp4")
WEBM: Final = AudioFormat("audio/webm", ".webm")
AAC: Final = AudioFormat("audio/aac", ".aac")

AUDIO_FORMATS: Final = (MP3, WAV, FLAC, OGG, M4A, MP4, WEBM, AAC)
"""What `recognise` knows; Ogg may hold Vorbis, Opus or FLAC."""

HEAD_BYTES: Final = 4096
"""How much of a file `recognise` needs at most: two of the longest MPEG frames begin in it."""

_M4A_BRANDS: Final = frozenset({b"M4A ", b"M4B ", b"M4P "})
# Pictures (HEIC, AVIF) are ISO media files too, so brands are listed instead of assumed.
_MP4_BRANDS: Final = (b"mp4", b"iso", b"avc1", b"dash", b"3gp", b"3g2", b"MSNV", b"f4a", b"F4A")
_EBML: Final = b"\x1aE\xdf\xa3"
_EBML_HEADER: Final = 64  # bytes in which the document type stands
_ID3_HEADER: Final = 10
_ADTS_SHORTEST: Final = 7  # bytes of its header

# Kilobits a second by the four bits of the header; 0 has no use here: the frame's length is unknown.
_V1_LAYER1: Final = (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448)
_V1_LAYER2: Final = (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384)
_V1_LAYER3: Final = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_V2_LAYER1: Final = (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256)
_V2_LAYER23: Final = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_BIT_RATES: Final = {
    (True, 1): _V1_LAYER1,
    (True, 2): _V1_LAYER2,
    (True, 3): _V1_LAYER3,
    (False, 1): _V2_LAYER1,
    (False, 2): _V2_LAYER23,
    (False, 3): _V2_LAYER23,
}
_SAMPLE_RATES: Final = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}


def recognise(head: bytes) -> AudioFormat | None:
    """Tell the format of a file from its first `HEAD_BYTES` bytes, or fewer if it is shorter."""
    if head.startswith(b"ID3") and len(head) >= _ID3_HEADER:
        return _behind_id3(head)
    return _container(head) or _frames(head)


def _behind_id3(head: bytes) -> AudioFormat:
    """Look behind a tag, which some put before FLAC and AAC too; its size has seven bits a byte."""
    size = 0
    for byte in head[6:_ID3_HEADER]:
        size = size << 7 | byte & 0x7F
    rest = head[_ID3_HEADER + size :]
    return _container(rest) or _frames(rest) or MP3


def _container(head: bytes) -> AudioFormat | None:
    if head[:4] in {b"RIFF", b"RF64", b"BW64"} and head[8:12] == b"WAVE":
        return WAV
    if head.startswith(b"fLaC"):
        return FLAC
    if head.startswith(b"OggS"):
        return OGG
    if head.startswith(b"ADIF"):
        return AAC
    if head.startswith(_EBML) and b"webm" in head[:_EBML_HEADER]:
        return WEBM
    if head[4:8] == b"ftyp":
        brand = head[8:12]
        if brand in _M4A_BRANDS:
            return M4A
        return MP4 if brand.startswith(_MP4_BRANDS) else None
    return None


def _frames(head: bytes) -> AudioFormat | None:
    for length_of, found in ((_mpeg_length, MP3), (_adts_length, AAC)):
        length = length_of(head)
        if length is None:
            continue
        following = head[length : length + _ADTS_SHORTEST]
        if len(following) < _ADTS_SHORTEST or length_of(following) is not None:
            return found
    return None


def _mpeg_length(head: bytes) -> int | None:
    """Give the length in bytes of the MPEG audio frame that starts here, None if none does."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:  # noqa: PLR2004  a header, its mark
        return None
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    bit_rate, sample_rate = head[2] >> 4, head[2] >> 2 & 3
    first = version == 3  # noqa: PLR2004  the two bits that stand for MPEG-1
    rates = _BIT_RATES.get((first, layer))
    samples = _SAMPLE_RATES.get(version)
    if rates is None or samples is None or sample_rate >= len(samples):
        return None
    if not 0 < bit_rate < len(rates):
        return None
    padding = head[2] >> 1 & 1
    bits, hertz = rates[bit_rate] * 1000, samples[sample_rate]
    if layer == 1:
        return (12 * bits // hertz + padding) * 4
    per_frame = 72 if layer == 3 and not first else 144  # noqa: PLR2004  layer III
    return per_frame * bits // hertz + padding


def _adts_length(head: bytes) -> int | None:
    """Give the length in bytes of the ADTS frame that starts here, None if none does."""
    if len(head) < _ADTS_SHORTEST or head[0] != 0xFF or head[1] & 0xF6 != 0xF0:  # noqa: PLR2004
        return None
    if head[2] >> 2 & 0xF >= 13:  # noqa: PLR2004  sampling frequencies that nobody defined
        return None
    length = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    return length if length >= _ADTS_SHORTEST else None
