"""Stop words found by our own filter."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invokeq_providers.chat.stop import StopFilter


def cut(text: str, words: list[str], sizes: list[int]) -> str:
    """Return the filtered text, fed in pieces of the given sizes."""
    stop = StopFilter(words)
    out: list[str] = []
    at = 0
    for size in [*sizes, len(text)]:
        out.append(stop.feed(text[at : at + size]))
        at += size
    return "".join([*out, stop.finish()])


@given(
    st.text("ab", max_size=30),
    st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=3),
    st.lists(st.integers(1, 5), max_size=10),
)
def test_the_cut_is_at_the_first_word_however_the_text_comes(
    text: str, words: list[str], sizes: list[int]
) -> None:
    ends = [at for word in words if (at := text.find(word)) >= 0]
    seen = cut(text, words, sizes)
    if not ends:
        assert seen == text
        return
    # Piecewise, the word that is complete first decides, even if another began before it.
    assert text.startswith(seen)
    assert min(ends) <= len(seen) <= max(ends)
    assert not any(word in seen for word in words)


@pytest.mark.parametrize(
    ("pieces", "out"),
    [
        (["one two", " three"], ["one two", ""]),
        (["one\n", "two"], ["one", ""]),
        (["one", "\nObserv", "ing"], ["one", "", "\nObserving"]),
    ],
)
def test_only_what_may_begin_a_word_is_held_back(pieces: list[str], out: list[str]) -> None:
    words = [" three"] if "three" in pieces[-1] else ["\nObservation", "\ntwo"]
    stop = StopFilter(words)
    assert [stop.feed(piece) for piece in pieces] == out


def test_without_words_text_passes() -> None:
    stop = StopFilter(["", ""])
    assert stop.feed("anything") == "anything"
    assert not stop.stopped
