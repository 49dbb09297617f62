"""The fake vendor's calls of the other kinds follow the plans."""

from pathlib import Path
from typing import Any

import pytest

from invokeq.protocol.audio import MP3, recognise
from invokeq.protocol.entities import EmbeddingInputType, ModelType
from invokeq.protocol.errors import InvalidConfigurationError
from invokeq.protocol.requests import ModerationRequest, TextEmbeddingRequest
from invokeq_providers.scripted import ScriptedProvider, scripted_vector, speech
from invokeq_providers.scripted.instance import instance_of
from tests.support.calls import Bench


def embed(*texts: str) -> TextEmbeddingRequest:
    return TextEmbeddingRequest(provider="scripted", model="hash", texts=list(texts))


def test_it_has_a_model_of_every_type() -> None:
    provider = ScriptedProvider("scripted", {})
    served = {entity.model_type for entity in provider.models()}
    assert served == provider.model_types
    assert served == set(ModelType) - {ModelType.TEXT2IMG}


def test_vectors_depend_on_text_and_type_alone() -> None:
    assert scripted_vector("a") == scripted_vector("a")
    assert scripted_vector("a") != scripted_vector("b")
    assert scripted_vector("a") != scripted_vector("a", EmbeddingInputType.DOCUMENT)
    assert len(scripted_vector("a", dimensions=1536)) == 1536


@pytest.mark.parametrize("text", ["Hello.", "Grüße, 世界 🙂", "x" * 500, ""])
def test_speech_is_mp3_and_says_what_it_says(text: str) -> None:
    audio = speech.speak(text, "ann", 5)
    assert recognise(audio) == MP3
    assert speech.transcript(audio) == text
    assert speech.transcript(audio + audio) == text * 2


def test_other_audio_says_nothing() -> None:
    assert speech.transcript(b"RIFF....WAVE") is None


async def test_delays_are_by_call_and_the_last_one_is_for_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench(
        {
            "models": {"hash": {"model_properties": {"max_chunks": 1, "max_workers": 1}}},
            "embedding": {"delays": [3.0, 0.5]},
        }
    )
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("asyncio.sleep", sleep)
    await bench.outputs(embed("a", "b", "c"))
    assert slept == [3.0, 0.5, 0.5]


async def test_calls_are_counted_by_invocation() -> None:
    provider = ScriptedProvider("scripted", {"moderation": {"fail_at": 1}})
    request = ModerationRequest(provider="scripted", model="words", text="a")
    for _ in range(2):
        bench = Bench(provider=provider)
        assert await bench.result(request) == {"result": False}
        assert bench.events == ["started:0:1", "finished:0"]


async def test_the_journal_of_another_process_has_the_same_events(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    bench = Bench({"journal_file": str(path)})
    await bench.outputs(embed("a", "b"))
    await bench.scripted.close()
    name = bench.services.request_id
    assert path.read_text().splitlines() == [f"{name} started:0:2", f"{name} finished:0"]


def test_a_wrong_plan_is_named() -> None:
    with pytest.raises(InvalidConfigurationError, match=r"providers\.scripted\.embedding\.spoil"):
        ScriptedProvider("scripted", {"embedding": {"spoil": "milk"}})


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "integer", "minimum": 7}, 7),
        ({"type": ["null", "string"]}, None),
        ({"enum": ["b", "a"]}, "b"),
        ({"const": 0}, 0),
        ({"anyOf": [{"type": "number"}]}, 0.5),
        ({"type": "array", "items": {"type": "boolean"}}, [True]),
        ({"type": "array"}, []),
        ({"$defs": {"a": {"type": "string"}}, "$ref": "#/$defs/a"}, "text"),
        ({"properties": {"a": {"type": "string"}}}, {"a": "text"}),
    ],
)
def test_instances_obey_their_schema(schema: dict[str, Any], value: Any) -> None:
    assert instance_of(schema) == value


def test_a_schema_that_contains_itself_has_an_instance() -> None:
    assert instance_of({"properties": {"a": {"$ref": "#"}}}).keys() == {"a"}
