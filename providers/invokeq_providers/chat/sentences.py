"""Splitting of text at the pauses of a voice; joined parts are the text, to the character.

A cheap guess, from the marks at the end of sentences in most scripts, and some abbreviations. Parts
are yielded lazily, each after a short look ahead, for every text.
"""

import re
import unicodedata
from collections.abc import Iterator
from typing import Final

_OPENING: Final = "\"'“‘„‚«‹(["
_CLOSING: Final = r"[\"'”’»›)\]」』）】》]*+"
# A mark ends a sentence before white space (Latin, Greek, Cyrillic, ...), or anywhere in scripts
# without white space; so does a blank line. The lookbehind keeps long runs of marks linear.
_END: Final = re.compile(
    rf"(?<![.!?…])(?P<mark>[.!?…]++){_CLOSING}\s++"
    rf"|[。！？｡؟۔।॥։።፧။។༎]++{_CLOSING}\s*+"
    r"|\n[^\S\n]*+\n\s*+"
)
_ABBREVIATION: Final = re.compile(
    r"mr|mrs|ms|mx|dr|prof|st|sr|jr|rev|gen|col|capt|lt|sgt|hon|inc|ltd|co|corp|vs|etc|approx|dept"
    r"|est|figs?|nos?|vol|pp|ch|sec|art|al|cf|incl|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec"
    r"|hr|fr|nr|str|ca|bzw|usw|ggf|evtl|vgl|abb|bd|hrsg|inkl|mme|mlle|av|sra|sig|dott|p"
    r"|гг|им|ул|стр|рис|см|др|пр",
    re.IGNORECASE,
)
_LONGEST_SENTENCE: Final = 4000  # characters; a longer sentence is cut
_LONGEST_WORD: Final = 12  # characters to look back for an abbreviation
_LONGEST_ORDINAL: Final = 2  # digits of a number before a dot that counts instead of ending
_CLAUSE: Final = frozenset(".!?…,;:—–،؛")  # where white space follows
_WIDE_CLAUSE: Final = frozenset("、，；：")
_JOINER: Final = "\u200d"
_LONGEST_CLUSTER: Final = 32  # characters; a mischievous text may pile up more


def sentences(text: str) -> Iterator[str]:
    """Yield the sentences, each with the white space behind."""
    start = 0
    for stop in _ends(text):
        yield text[start:stop]
        start = stop


def pieces(text: str, limit: int, *, first_alone: bool = False) -> Iterator[str]:
    """Yield pieces of at most `limit` characters, each of as many whole sentences as fit.

    A sentence over the limit is cut behind a clause, else between words, else between characters.
    With `first_alone` the first sentence is a separate piece.
    """
    start = end = 0
    for stop in _ends(text):
        if end > start and (first_alone or stop - start > limit):
            yield text[start:end]
            start, first_alone = end, False
        while stop - start > limit:
            cut = _cut(text, start, start + limit)
            yield text[start:cut]
            start, first_alone = cut, False
        end = stop
    if end > start:
        yield text[start:end]


def _ends(text: str) -> Iterator[int]:
    """Yield the ends of sentences in order, as indices; the last is the end of the text."""
    end = 0
    while end < len(text):
        end = _next_end(text, end)
        yield end


def _next_end(text: str, start: int) -> int:
    border = min(start + _LONGEST_SENTENCE, len(text))
    for match in _END.finditer(text, start, border):
        if match["mark"] != "." or not _goes_on(text, match.start(), match.end()):
            return match.end()
    return border if border == len(text) else _cut(text, start, border)


def _goes_on(text: str, dot: int, after: int) -> bool:
    """Return whether the dot belongs to a word, and ends no sentence."""
    if text[after : after + 1].islower():
        return True
    before = text[max(0, dot - _LONGEST_WORD) : dot].split()
    word = before[-1].lstrip(_OPENING) if before else ""
    if word.isdigit():
        return len(word) <= _LONGEST_ORDINAL
    return len(word) == 1 or "." in word or bool(_ABBREVIATION.fullmatch(word))


def _cut(text: str, start: int, stop: int) -> int:
    """Return the best index for a cut, in the second half of a stretch."""
    half = start + (stop - start) // 2
    for at in range(stop, half, -1):
        last = text[at - 1]
        behind = text[at - 2] if last.isspace() else last if text[at].isspace() else ""
        if last in _WIDE_CLAUSE or behind in _CLAUSE:
            return at
    for at in range(stop, half, -1):
        if text[at - 1].isspace() or text[at].isspace():
            return at
    lowest = max(start + 1, stop - _LONGEST_CLUSTER)
    return next((at for at in range(stop, lowest, -1) if not _is_joined(text, at)), stop)


def _is_joined(text: str, at: int) -> bool:
    """Return whether a cut would separate a letter from accents, or split an emoji."""
    following = text[at]
    return (
        unicodedata.category(following).startswith("M")
        or following == _JOINER
        or text[at - 1] == _JOINER
    )
