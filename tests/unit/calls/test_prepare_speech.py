"""Voices, and the free-form properties of a model."""

from typing import Any

import pytest

from invokeq.protocol.entities import AIModelEntity, ModelPropertyKey
from invokeq.protocol.errors import InvalidRequestError
from invokeq.protocol.requests import TTSRequest
from invokeq_providers.base import Provider
from invokeq_providers.calls.tts import PIECE_CHARACTERS, choose_voice, prepare_tts
from invokeq_providers.models.properties import Voice, count_property, text_property, voices


def facts(**properties: Any) -> AIModelEntity:
    return AIModelEntity.model_validate(
        {"model": "m", "model_type": "tts", "model_properties": properties}
    )


class Acme(Provider):
    """A provider with one voice model."""

    def __init__(self, **properties: Any) -> None:
        super().__init__("acme", {})
        self.properties = properties

    def models(self) -> list[AIModelEntity]:
        return [facts(**self.properties)]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([{"name": "Ann", "value": "ann"}], [Voice("ann", "Ann")]),
        ([{"mode": "alloy", "name": "Alloy", "language": ["en-US"]}], [Voice("alloy", "Alloy")]),
        ([{"value": "x"}, "y"], [Voice("x", "x"), Voice("y", "y")]),
        ([{"name": "No value"}, 5, None], []),
        ("ann", []),
        (None, []),
        (5, []),
    ],
)
def test_voices_are_read_in_every_shape(given: Any, expected: list[Voice]) -> None:
    assert voices(facts(voices=given)) == expected


@pytest.mark.parametrize(
    ("asked", "properties", "chosen"),
    [
        ("", {"voices": ["a", "b"]}, "a"),
        (" ", {"voices": ["a", "b"], "default_voice": "b"}, "b"),
        ("", {"default_voice": "unlisted"}, "unlisted"),
        ("", {"voices": ["a"], "default_voice": "unlisted"}, "unlisted"),
        ("anything", {}, "anything"),
        ("b", {"voices": ["a", "b"]}, "b"),
    ],
)
def test_a_voice_is_chosen(asked: str, properties: dict[str, Any], chosen: str) -> None:
    assert choose_voice(asked, facts(**properties), "acme") == chosen


def test_a_voice_is_needed_where_nobody_knows_one() -> None:
    with pytest.raises(InvalidRequestError, match="is needed; acme/m has: none"):
        choose_voice("", facts(), "acme")


@pytest.mark.parametrize(
    ("value", "count"), [(5, 5), (0, 9), (-1, 9), (True, 9), ("5", 9), (2.0, 9), (None, 9)]
)
def test_a_count_is_a_positive_whole_number_or_the_default(value: Any, count: int) -> None:
    key = ModelPropertyKey.WORD_LIMIT
    assert count_property(facts(word_limit=value), key, 9) == count


def test_a_text_property_is_a_text() -> None:
    assert text_property(facts(default_voice=5), ModelPropertyKey.DEFAULT_VOICE) == ""


@pytest.mark.parametrize(("word_limit", "longest"), [(50, 50), (4096, PIECE_CHARACTERS)])
def test_pieces_obey_the_model_and_our_own_bound(word_limit: int, longest: int) -> None:
    text = "Some words without an end " * 100
    request = TTSRequest(provider="acme", model="m", voice="v", content_text=text)
    calls = list(prepare_tts(request, Acme(word_limit=word_limit), request_id="r", user="u"))
    assert "".join(call.text for call in calls) == text
    assert longest // 2 < max(len(call.text) for call in calls) <= longest
    assert {(call.voice, call.request_id, call.user) for call in calls} == {("v", "r", "u")}


def test_white_space_between_sentences_is_no_piece() -> None:
    text = "One." + " " * 2000 + "Two."
    request = TTSRequest(provider="acme", model="m", voice="v", content_text=text)
    texts = [call.text.strip() for call in prepare_tts(request, Acme())]
    assert texts == ["One.", "Two."]


def test_faults_are_found_before_the_first_piece() -> None:
    request = TTSRequest(provider="acme", model="m", voice="", content_text="Hi.")
    with pytest.raises(InvalidRequestError):
        prepare_tts(request, Acme())
