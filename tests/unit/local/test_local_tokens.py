"""The heads of small GGUF files, written by hand."""

import struct
from pathlib import Path

import pytest

from invokeq.protocol.errors import InvalidConfigurationError
from invokeq_providers.local.tokens import TokenCounter, read_metadata

KINDS = {"B": 0, "b": 1, "H": 2, "h": 3, "I": 4, "i": 5, "f": 6, "?": 7, "Q": 10, "q": 11, "d": 12}


def text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def pair(key: str, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def texts(key: str, values: list[str]) -> bytes:
    return pair(key, 9, struct.pack("<IQ", 8, len(values)) + b"".join(map(text, values)))


def write(path: Path, *pairs: bytes) -> Path:
    file = path / "model.gguf"
    head = b"GGUF" + struct.pack("<IQQ", 3, 0, len(pairs))
    file.write_bytes(head + b"".join(pairs) + b"tensors")
    return file


def test_reads_every_kind_of_value(tmp_path: Path) -> None:
    numbers = [
        pair(form, kind, struct.pack("<" + form, True if form == "?" else 7))
        for form, kind in KINDS.items()
    ]
    nested = pair("nested", 9, struct.pack("<IQ", 9, 1) + struct.pack("<IQ", 4, 2) + bytes(8))
    file = write(tmp_path, *numbers, pair("s", 8, text("größe")), texts("a", ["x", ""]), nested)
    expected = {form: True if form == "?" else 7 for form in KINDS}
    assert read_metadata(file) == {**expected, "s": "größe", "a": ["x", ""], "nested": [[0, 0]]}


def test_another_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(b"PK\3\4 something else")
    with pytest.raises(ValueError, match="no GGUF file"):
        read_metadata(file)


async def test_another_tokenizer_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("tokenizers")
    file = write(
        tmp_path,
        pair("tokenizer.ggml.model", 8, text("llama")),
        pair("tokenizer.ggml.pre", 8, text("default")),
    )
    counter = TokenCounter("local/m", file)
    with pytest.raises(InvalidConfigurationError, match="llama/default"):
        await counter.count(["a"])
    await counter.close()
