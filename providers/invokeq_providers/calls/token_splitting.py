"""Cutting of a text into pieces by tokens, between lines where possible.

Joined pieces are the text again, to the character.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeVar

from invokeq_providers.base import Provider
from invokeq_providers.chat.sentences import pieces

_LONG_TEXT: Final = 100_000  # characters; handling more would hold the loop for milliseconds
_MARGIN: Final = 0.9  # of a limit, for parts of a line whose tokens are not counted yet

T = TypeVar("T")


class Piece(NamedTuple):
    """A piece of text and its number of tokens."""

    text: str
    tokens: int


class TokenCounter:
    """Token counts by the model's tokenizer, or high estimates if the provider has none."""

    def __init__(self, provider: Provider, model: str) -> None:
        self._provider = provider
        self._model = model

    async def count(self, texts: Sequence[str]) -> Sequence[int]:
        """Return the number of tokens of each text."""
        counts = await self._provider.count_tokens(self._model, texts)
        if counts is not None:
            return counts
        return await _off_loop(sum(map(len, texts)), lambda: list(map(estimate_tokens, texts)))

    async def cut(self, text: str, limit: int) -> list[Piece]:
        """Cut a text into pieces of at most `limit` tokens, each of as many lines as fit."""
        lines = await _off_loop(len(text), lambda: text.splitlines(keepends=True))
        parts = await self._fit(lines, limit)
        return await _off_loop(len(text), lambda: _merge(parts, limit))

    async def _fit(self, texts: Sequence[str], limit: int) -> list[Piece]:
        """Count texts, and cut the long ones until every piece fits."""
        counted = [Piece(*pair) for pair in zip(texts, await self.count(texts), strict=True)]
        fitting: list[Piece] = []
        for piece in counted:
            # One character may exceed a tiny limit, and cannot be cut: without the second test the
            # recursion would not end.
            if piece.tokens <= limit or len(piece.text) == 1:
                fitting.append(piece)
            else:
                fitting += await self._fit(await _smaller(piece, limit), limit)
        return fitting


async def _smaller(piece: Piece, limit: int) -> list[str]:
    """Cut a piece into shorter parts of about `limit` tokens."""
    size = int(len(piece.text) * limit * _MARGIN / piece.tokens)
    size = max(1, min(size, len(piece.text) - 1))
    return await _off_loop(len(piece.text), lambda: list(pieces(piece.text, size)))


async def _off_loop(characters: int, work: Callable[[], T]) -> T:
    """Run `work` on a text of `characters`, in a thread for long texts."""
    return await asyncio.to_thread(work) if characters > _LONG_TEXT else work()


def estimate_tokens(text: str) -> int:
    """Estimate the tokens of a text for an unknown tokenizer, rather too many than too few.

    Two ASCII characters make a token; English has about four. Each UTF-8 byte of other characters
    makes two thirds of a token: two tokens for an ideograph, where current tokenizers need one.
    """
    ascii_length = len(text.encode("ascii", "ignore"))
    other_bytes = len(text.encode("utf-8", "replace")) - ascii_length
    return -(-ascii_length // 2) + -(-other_bytes * 2 // 3)


def _merge(parts: Sequence[Piece], limit: int) -> list[Piece]:
    """Join neighbours up to `limit` tokens."""
    merged: list[Piece] = []
    texts: list[str] = []
    tokens = 0
    for part in parts:
        if texts and tokens + part.tokens > limit:
            merged.append(Piece("".join(texts), tokens))
            texts, tokens = [], 0
        texts.append(part.text)
        tokens += part.tokens
    if texts:
        merged.append(Piece("".join(texts), tokens))
    return merged
