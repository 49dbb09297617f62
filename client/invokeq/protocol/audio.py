"""The recognition of audio by the first bytes of a file, without a look at name or declared type.

Pure, and used on both sides: a client refuses other data before sending, and a worker checks again
instead of trusting the client. MPEG and AAC frames have a mark of eleven bits only, so a second
frame must follow the first where `head` is long enough.

Sources: RFC 9639 (FLAC), RFC 3533 (Ogg), RFC 2361 (WAVE), ISO/IEC 11172-3 and 13818-3 (MPEG audio),
ISO/IEC 13818-7 (ADTS), ISO/IEC 14496-12 (MP4), RFC 9559 (Matroska and WebM), id3.org (ID3v2.4).
"""

from typing import Final, NamedTuple


class AudioFormat(NamedTuple):
    """An audio container; `suffix` is the suffix of files, with the dot."""

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
"""The formats of `recognise`; Ogg may hold Vorbis, Opus or FLAC."""

HEAD_BYTES: Final = 4096
"""Bytes of a file that `recognise` needs at most: two of the longest MPEG frames begin within."""

_M4A_BRANDS: Final = frozenset({b"M4A ", b"M4B ", b"M4P "})
# Pictures (HEIC, AVIF) are ISO media files too, so brands are listed instead of assumed.
_MP4_BRANDS: Final = (b"mp4", b"iso", b"avc1", b"dash", b"3gp", b"3g2", b"MSNV", b"f4a", b"F4A")
_EBML: Final = b"\x1aE\xdf\xa3"
_EBML_HEADER: Final = 64  # bytes in which the document type stands
_ID3_HEADER: Final = 10  # bytes
_ID3_VERSIONS: Final = frozenset({2, 3, 4})
_MPEG_HEADER: Final = 4  # bytes
_ADTS_HEADER: Final = 7  # bytes
_MPEG_MARK: Final = 0xFFE0
_ADTS_MASK, _ADTS_MARK = 0xFFF6, 0xFFF0
_MAGIC: Final = {b"fLaC": FLAC, b"OggS": OGG, b"ADIF": AAC}
_RIFF: Final = frozenset({b"RIFF", b"RF64", b"BW64"})

# Kilobits a second by four bits of the header, for layers II and III; 0 stands for a frame of
# unknown length. Layer I is left out: out of use, and UTF-16's byte order mark reads as Layer I.
_V1_LAYER2: Final = (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384)
_V1_LAYER3: Final = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_V2: Final = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_LAYER2, _LAYER3 = 2, 1  # two bits of the header
_VERSION1: Final = 3
_BIT_RATES: Final = {
    (_VERSION1, _LAYER2): _V1_LAYER2,
    (_VERSION1, _LAYER3): _V1_LAYER3,
    **{(version, layer): _V2 for version in (0, 2) for layer in (_LAYER2, _LAYER3)},
}
_SAMPLE_RATES: Final = {
    _VERSION1: (44100, 48000, 32000),
    2: (22050, 24000, 16000),
    0: (11025, 12000, 8000),
}
_ADTS_SAMPLE_RATES: Final = 13  # the standard reserves all larger indices


def recognise(head: bytes) -> AudioFormat | None:
    """Return the format of a file by the first `HEAD_BYTES` bytes, or None."""
    tag = _id3_size(head)
    if tag is None:
        return _container(head) or _frames(head)
    # Some programs put the tag of MP3 before FLAC and AAC. A tag longer than `head` hides the
    # frames, and then MP3 is the best guess.
    rest = head[tag:]
    return _container(rest) or _frames(rest) or MP3


def _id3_size(head: bytes) -> int | None:
    """Return the length in bytes of a leading ID3v2 tag, or None."""
    # The size field has seven bits a byte (id3.org: "synchsafe"), so an eighth bit means no tag.
    if not head.startswith(b"ID3") or len(head) < _ID3_HEADER or head[3] not in _ID3_VERSIONS:
        return None
    size = 0
    for byte in head[6:_ID3_HEADER]:
        if byte & 0x80:
            return None
        size = size << 7 | byte
    return _ID3_HEADER + size


def _container(head: bytes) -> AudioFormat | None:
    brand = head[8:12]
    if head[:4] in _RIFF and brand == b"WAVE":
        return WAV
    if head[4:8] == b"ftyp" and brand in _M4A_BRANDS:
        return M4A
    if head[4:8] == b"ftyp" and brand.startswith(_MP4_BRANDS):
        return MP4
    if head.startswith(_EBML) and b"webm" in head[:_EBML_HEADER]:
        return WEBM
    return next((found for magic, found in _MAGIC.items() if head.startswith(magic)), None)


def _frames(head: bytes) -> AudioFormat | None:
    """Return the format of a leading frame with the next frame, or the end, behind the first."""
    # The mark of one frame alone is too short to rule out chance.
    for length_of, found in ((_mpeg_length, MP3), (_adts_length, AAC)):
        length = length_of(head)
        if length is None or length > len(head):
            continue
        following = head[length:]
        if len(following) < _ADTS_HEADER or length_of(following) is not None:
            return found
    return None


def _mpeg_length(head: bytes) -> int | None:
    """Return the length in bytes of the MPEG audio frame at the start, or None."""
    if len(head) < _MPEG_HEADER or int.from_bytes(head[:2], "big") & _MPEG_MARK != _MPEG_MARK:
        return None
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    bit_rates = _BIT_RATES.get((version, layer), ())
    sample_rates = _SAMPLE_RATES.get(version, ())
    bit_rate, sample_rate = head[2] >> 4, head[2] >> 2 & 3
    if not 0 < bit_rate < len(bit_rates) or sample_rate >= len(sample_rates):
        return None
    padding = head[2] >> 1 & 1
    samples = 576 if layer == _LAYER3 and version != _VERSION1 else 1152
    return samples // 8 * bit_rates[bit_rate] * 1000 // sample_rates[sample_rate] + padding


def _adts_length(head: bytes) -> int | None:
    """Return the length in bytes of the ADTS frame at the start, or None."""
    if len(head) < _ADTS_HEADER or int.from_bytes(head[:2], "big") & _ADTS_MASK != _ADTS_MARK:
        return None
    length = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    known = head[2] >> 2 & 0xF < _ADTS_SAMPLE_RATES
    return length if known and length >= _ADTS_HEADER else None
