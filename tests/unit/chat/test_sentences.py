"""Texts are divided where a voice would pause, without loss."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invokeq_providers.chat.sentences import pieces, sentences

MISCHIEF = st.text(
    st.one_of(st.sampled_from(' \n\t.!?…。！،,;:"”»)Dr1a\u0301\u200d🙂ह।'), st.characters()),
    max_size=200,
)


@given(MISCHIEF)
def test_sentences_joined_are_the_text(text: str) -> None:
    assert "".join(sentences(text)) == text
    assert all(sentences(text))


@given(MISCHIEF, st.integers(1, 30), st.booleans())
def test_pieces_joined_are_the_text_and_none_is_too_long(
    text: str, limit: int, first_alone: bool
) -> None:
    found = list(pieces(text, limit, first_alone=first_alone))
    assert "".join(found) == text
    assert all(0 < len(piece) <= limit for piece in found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three? Four… Five", ["One. ", "Two! ", "Three? ", "Four… ", "Five"]),
        ("He said “Go.” Then he left.", ["He said “Go.” ", "Then he left."]),
        ("What?! No... Really", ["What?! ", "No... ", "Really"]),
        ("你好。今天好吗？很好！", ["你好。", "今天好吗？", "很好！"]),
        ("「行け。」彼は言った。", ["「行け。」", "彼は言った。"]),
        ("मैं यहाँ हूँ। तुम?", ["मैं यहाँ हूँ। ", "तुम?"]),
        ("كيف حالك؟ بخير.", ["كيف حالك؟ ", "بخير."]),
        ("Title\n\nBody goes on\nhere. End", ["Title\n\n", "Body goes on\nhere. ", "End"]),
        ("  One.  ", ["  One.  "]),
        ("", []),
    ],
)
def test_marks_end_sentences_in_many_scripts(text: str, expected: list[str]) -> None:
    assert list(sentences(text)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "Dr. Smith met Mr. Jones at 3.14 p.m. today.",
        "J. R. R. Tolkien wrote it.",
        "See e.g. Fig. 3 of this.",
        "Das ist z.B. am 3. Oktober so.",
        "Go to example.com now.",
        "It cost approx. five dollars.",
        "«Dr. No» is a film.",
    ],
)
def test_a_dot_within_a_sentence_does_not_end_it(text: str) -> None:
    assert list(sentences(text)) == [text]


def test_pieces_are_as_many_whole_sentences_as_fit() -> None:
    assert list(pieces("One. Two. Three. Four.", 12)) == ["One. Two. ", "Three. Four."]
    text = "One. Two. Three."
    assert list(pieces(text, 100, first_alone=True)) == ["One. ", "Two. Three."]


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [
        ("aaaa, bbb cccc dddd", 12, ["aaaa, bbb ", "cccc dddd"]),
        ("aaaa bbb, cccc dddd", 12, ["aaaa bbb, ", "cccc dddd"]),
        ("aaa bb, ccc dddd", 14, ["aaa bb, ", "ccc dddd"]),
        ("aaaaaaaaaa", 4, ["aaaa", "aaaa", "aa"]),
        ("aaa bbb. ccc", 8, ["aaa bbb.", " ccc"]),
        ("一二三，四五六七八", 5, ["一二三，", "四五六七八"]),
        ("aaae\u0301bbb", 4, ["aaa", "e\u0301bb", "b"]),
    ],
)
def test_a_long_sentence_is_cut_behind_a_clause_or_a_word(
    text: str, limit: int, expected: list[str]
) -> None:
    assert list(pieces(text, limit)) == expected


@pytest.mark.parametrize(
    "text",
    ["." * 10**6, " " * 10**6, ".)" * 500_000, "\n " * 500_000, "a. " * 300_000, "a " * 500_000],
)
def test_mischievous_texts_come_in_pieces_too(text: str) -> None:
    found = list(pieces(text, 10_000))
    assert sum(map(len, found)) == len(text)
    assert len(found) < 2 * len(text) / 4000


def test_a_sentence_without_an_end_gets_one_between_words() -> None:
    text = "word " * 10_000
    assert all(sentence.endswith("word ") for sentence in sentences(text))
