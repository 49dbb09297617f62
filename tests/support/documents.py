"""Code blocks and names in the project's Markdown documents, with their lines."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from tests.support.paths import DOCS, ROOT

DOCUMENTS: Final = (
    *sorted(ROOT.glob("*.md")),
    *sorted(DOCS.glob("*.md")),
    ROOT / "bench/README.md",
)

_FENCE: Final = re.compile(r"^\s*```(?P<language>\S*)\s*$")
_SPAN: Final = re.compile(r"`([^`\n]+)`")
_LINK: Final = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block; `line` is that of its first line of text, from 1."""

    document: Path
    line: int
    language: str
    text: str

    @property
    def where(self) -> str:
        """Return `file:line`, relative to the checkout."""
        return f"{self.document.relative_to(ROOT)}:{self.line}"


@dataclass(frozen=True, slots=True)
class Name:
    """One inline code span, or the target of one link, outside of blocks."""

    document: Path
    line: int
    text: str

    @property
    def where(self) -> str:
        """Return `file:line`, relative to the checkout."""
        return f"{self.document.relative_to(ROOT)}:{self.line}"


@cache
def blocks() -> tuple[Block, ...]:
    """Return every fenced block of every document, in order."""
    return tuple(block for document in DOCUMENTS for block in _blocks_of(document))


@cache
def spans() -> tuple[Name, ...]:
    """Return every inline code span of every document."""
    return tuple(_names(_SPAN))


@cache
def links() -> tuple[Name, ...]:
    """Return every link target of every document."""
    return tuple(_names(_LINK))


def _blocks_of(document: Path) -> Iterator[Block]:
    opened: tuple[int, str] | None = None
    lines = document.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        fence = _FENCE.match(line)
        if not fence:
            continue
        if opened is None:
            opened = (number + 1, fence["language"])
            continue
        first, language = opened
        yield Block(document, first, language, "\n".join(lines[first - 1 : number - 1]) + "\n")
        opened = None
    assert opened is None, f"{document.relative_to(ROOT)}:{opened}: block without an end"


def _names(pattern: re.Pattern[str]) -> Iterator[Name]:
    for document in DOCUMENTS:
        inside = False
        for number, line in enumerate(document.read_text(encoding="utf-8").splitlines(), 1):
            if _FENCE.match(line):
                inside = not inside
            elif not inside:
                for found in pattern.finditer(line):
                    yield Name(document, number, found[1])
