"""The tokenizer of a GGUF file, without the model: counts tokens exactly as llama.cpp does.

Inside a process llama.cpp counts tokens only by running the prompt. The vocabulary is in the head
of the file; the kind of tokenizer must be `gpt2` with the splitting rules `smollm`.
The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import importlib
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

from invokeq_providers.local.packages import package_folder
from invokeq_providers.local.thread import Stop, ThreadedModel

_MAGIC: Final = b"GGUF"
# What `struct` calls the types of numbers, which are little-endian; the file numbers them so.
_NUMBERS: Final[dict[int, str]] = dict(
    zip((0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12), "BbHhIif?Qqd", strict=True)
)
_STRING: Final = 8
_ARRAY: Final = 9
_CONTROL: Final = 3  # the type of tokens that are no text
_COUNTED_AT_ONCE: Final = 64  # texts; a cancellation waits as long


class TokenCounter(ThreadedModel[Any]):
    """The tokenizer of one GGUF file; loads in 0.2 s and 60 MB."""

    def __init__(self, name: str, weights: Path) -> None:
        package_folder("tokenizers", feature=name)
        super().__init__(name, lambda: _tokenizer(read_metadata(weights)))

    async def count(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text, without marks or a chat template."""

        def work(tokenizer: Any, stop: Stop) -> list[int]:
            counts: list[int] = []
            for start in range(0, len(texts), _COUNTED_AT_ONCE):
                stop.check()
                batch = list(texts[start : start + _COUNTED_AT_ONCE])
                counts += [len(encoding.ids) for encoding in tokenizer.encode_batch_fast(batch)]
            return counts

        return await self.run(work)


def read_metadata(path: Path) -> dict[str, Any]:
    """Return the key-value pairs at the head of a GGUF file. Raise ValueError for other files."""
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise ValueError(f"{path} is no GGUF file")
        _, _, count = struct.unpack("<IQQ", file.read(20))
        return {_string(file): _value(file, _number(file, "I")) for _ in range(count)}


def _tokenizer(metadata: dict[str, Any]) -> Any:
    kind = (metadata["tokenizer.ggml.model"], metadata["tokenizer.ggml.pre"])
    if kind != ("gpt2", "smollm"):
        raise ValueError(f"no tokenizer of the kind {'/'.join(kind)} here")
    # Imported by name: the types of the package's parts are unknown.
    tokenizers: Any = importlib.import_module("tokenizers")
    tokens: list[str] = metadata["tokenizer.ggml.tokens"]
    types: list[int] = metadata["tokenizer.ggml.token_type"]
    merges = [tuple(merge.split(" ")) for merge in metadata["tokenizer.ggml.merges"]]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(vocabulary, merges))
    digits = tokenizers.pre_tokenizers.Digits(individual_digits=True)
    words = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Sequence([digits, words])
    pairs = zip(tokens, types, strict=True)
    tokenizer.add_special_tokens([token for token, kind in pairs if kind == _CONTROL])
    return tokenizer


def _value(file: BinaryIO, kind: int) -> Any:
    if kind == _STRING:
        return _string(file)
    if kind == _ARRAY:
        of = _number(file, "I")
        return [_value(file, of) for _ in range(_number(file, "Q"))]
    return _number(file, _NUMBERS[kind])


def _string(file: BinaryIO) -> str:
    return file.read(_number(file, "Q")).decode()


def _number(file: BinaryIO, form: str) -> Any:
    return struct.unpack("<" + form, file.read(struct.calcsize(form)))[0]
