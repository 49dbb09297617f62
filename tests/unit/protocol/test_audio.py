"""Audio is known by its bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invokeq.protocol.audio import (
    AAC,
    AUDIO_FORMATS,
    FLAC,
    HEAD_BYTES,
    M4A,
    MP3,
    MP4,
    OGG,
    WAV,
    WEBM,
    AudioFormat,
    recognise,
)

MPEG1_LAYER3 = bytes.fromhex("fffb9000") + bytes(413)  # 128 kbit/s, 44.1 kHz: 417 bytes
MPEG2_LAYER3 = bytes.fromhex("fff38400") + bytes(248)  # 64 kbit/s, 24 kHz... 22.05 kHz padded below
MPEG1_LAYER2 = bytes.fromhex("fffda400") + bytes(572)  # 192 kbit/s, 48 kHz: 576 bytes
ADTS = bytes.fromhex("fff15080") + bytes([0x02, 0x1F, 0xFC]) + bytes(9)  # 16 bytes


def id3(size: int) -> bytes:
    packed = bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x04\x00\x00" + packed + bytes(size)


def ftyp(brand: bytes) -> bytes:
    return b"\x00\x00\x00\x20ftyp" + brand + bytes(20)


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (id3(100), MP3),
        (id3(100) + MPEG1_LAYER3, MP3),
        (id3(3) + b"fLaC" + bytes(34), FLAC),
        (id3(3) + ADTS * 2, AAC),
        (id3(9000)[:HEAD_BYTES], MP3),
        (MPEG1_LAYER3 * 2, MP3),
        (MPEG1_LAYER3, MP3),
        (MPEG1_LAYER2 * 3, MP3),
        (b"RIFF\x24\x00\x00\x00WAVEfmt ", WAV),
        (b"RF64\xff\xff\xff\xffWAVEds64", WAV),
        (b"fLaC\x00\x00\x00\x22", FLAC),
        (b"OggS\x00\x02" + bytes(22) + b"\x01\x13OpusHead", OGG),
        (b"OggS\x00\x02" + bytes(22) + b"\x01\x1e\x01vorbis", OGG),
        (ftyp(b"M4A "), M4A),
        (ftyp(b"isom"), MP4),
        (ftyp(b"mp42"), MP4),
        (b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\x82\x84webm", WEBM),
        (ADTS * 2, AAC),
        (b"ADIF\x00", AAC),
    ],
)
def test_formats_are_recognised(head: bytes, expected: AudioFormat) -> None:
    assert recognise(head) == expected


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\xff",
        b"\xff\xfb\x90",
        b"\xff\xfb\x90\x00",
        "hello".encode("utf-16"),
        "привет, мир, ещё раз привет".encode("utf-16"),
        b"ID3 is the name of a tag",
        b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(500),
        b"\x89PNG\r\n\x1a\n" + bytes(500),
        b"%PDF-1.7",
        b"PK\x03\x04",
        b"RIFF\x24\x00\x00\x00AVI LIST",
        b"RIFF\x24\x00\x00\x00WEBPVP8 ",
        ftyp(b"heic"),
        ftyp(b"avif"),
        b"\x1aE\xdf\xa3\xa3B\x86\x81\x01B\x82\x88matroska",
        b"\xff" * 2000,
        MPEG1_LAYER3 + b"not the next frame",
        ADTS + b"not the next frame",
        b"RIFF",
        b"<!DOCTYPE html>",
    ],
)
def test_what_is_no_audio_is_not_recognised(head: bytes) -> None:
    assert recognise(head) is None


@given(st.binary(max_size=100))
def test_any_bytes_are_either_known_or_not(head: bytes) -> None:
    assert recognise(head) in {None, *AUDIO_FORMATS}


def test_the_lengths_of_frames_are_right_at_every_rate() -> None:
    for version, samples in ((3, 1152), (2, 576), (0, 576)):
        for bit_rate in range(1, 15):
            for sample_rate in range(3):
                for padding in (0, 1):
                    frame = _layer3(version, bit_rate, sample_rate, padding, samples)
                    assert recognise(frame * 2) == MP3
                    assert recognise(frame + b"\x00" + frame) is None


def _layer3(version: int, bit_rate: int, sample_rate: int, padding: int, samples: int) -> bytes:
    kilobits = {
        3: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
        2: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    }
    hertz = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
    bits = kilobits[version or 2][bit_rate - 1] * 1000
    length = samples * bits // 8 // hertz[version][sample_rate] + padding
    header = bytes(
        [0xFF, 0xE0 | version << 3 | 1 << 1 | 1, bit_rate << 4 | sample_rate << 2 | padding << 1, 0]
    )
    return header + bytes(length - len(header))
