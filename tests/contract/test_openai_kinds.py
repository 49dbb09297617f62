"""OpenAI's embeddings, speech, transcription and moderation.

Against aimock, against llama.cpp's own server, and against recorded answers where a request is to
be seen as it is: those of OpenAI's API reference, "Create embeddings", "Create speech", "Create
transcription" and "Create moderation".
"""

import math
from array import array
from base64 import b64encode
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import pytest

from invokeq.protocol.entities import MultiModalContent
from invokeq.protocol.errors import InvalidRequestError, ProviderUnavailableError
from invokeq.protocol.requests import TextEmbeddingRequest
from invokeq_providers.base import Embedded
from invokeq_providers.calls.embedding import CONCURRENCY, prepare_embedding
from invokeq_providers.openai import OpenAIProvider, speech
from tests.contract import calls
from tests.contract.vendors import ANSWER, AUDIO, VECTOR, Aimock
from tests.support.vendors.recorded import Answer, Recorded, said

pytestmark = pytest.mark.usefixtures("no_certificates")

SMALL = "text-embedding-3-small"
TEXTS = ["Hello", "Grüße, 世界 🌍", "line\nbreak"]


@pytest.fixture
async def mocked(aimock: Aimock) -> AsyncGenerator[OpenAIProvider, None]:
    provider = OpenAIProvider("openai", {"base_url": aimock.base_url, "api_key": "sk-x"})
    yield provider
    await provider.close()


@pytest.fixture
async def provider(recorded: Recorded) -> AsyncGenerator[OpenAIProvider, None]:
    models = {"short": {"like": SMALL, "parameter_rules": [{"name": "dimensions", "default": 256}]}}
    options: dict[str, Any] = {"base_url": f"{recorded.url}/v1", "models": models}
    provider = OpenAIProvider("openai", {**options, "api_key": "sk-x"})
    yield provider
    await provider.close()


def base64_of(*numbers: float) -> str:
    return b64encode(array("f", numbers).tobytes()).decode()


def embeddings(*vectors: Any, tokens: int = 5) -> Answer:
    data = [{"object": "embedding", "index": i, "embedding": v} for i, v in enumerate(vectors)]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return said({"object": "list", "data": data, "model": SMALL, "usage": usage})


async def embed(provider: OpenAIProvider, texts: list[str], model: str = SMALL) -> Embedded:
    return await provider.text_embedding(calls.embedding(provider, model, texts))


@pytest.mark.usefixtures("http")
@pytest.mark.aimock
async def test_embeds_with_a_server_that_knows_no_base64(mocked: OpenAIProvider) -> None:
    embedded = await embed(mocked, TEXTS)
    assert [row.tolist() for row in embedded.rows] == [VECTOR] * 3
    assert {row.typecode for row in embedded.rows} == {"f"}


@pytest.mark.local_model
async def test_embeds_bit_by_bit_as_the_server_says(llama_embeddings_url: str) -> None:
    provider = OpenAIProvider("llama", {"base_url": llama_embeddings_url})
    embedded = await embed(provider, TEXTS, "smollm2")
    body = {"model": "smollm2", "input": TEXTS, "encoding_format": "float"}
    answer = await provider.ask("/embeddings", body)
    await provider.close()
    assert [row.tolist() for row in embedded.rows] == [d["embedding"] for d in answer["data"]]
    assert {(row.typecode, len(row)) for row in embedded.rows} == {("f", 576)}
    assert embedded.tokens == answer["usage"]["prompt_tokens"] > 0


async def test_asks_for_packed_vectors(provider: OpenAIProvider, recorded: Recorded) -> None:
    recorded.answer(embeddings(base64_of(1, 2), base64_of(0.1, -0.0), tokens=7))
    embedded = await embed(provider, TEXTS[:2])
    assert recorded.asked[0].path == "/v1/embeddings"
    assert recorded.asked[0].body == {
        "model": SMALL,
        "input": TEXTS[:2],
        "encoding_format": "base64",
        "user": "ann",
    }
    assert embedded.rows == [array("f", [1, 2]), array("f", [0.1, -0.0])]
    assert math.copysign(1, embedded.rows[1][1]) == -1
    assert embedded.tokens == 7


async def test_the_operator_chooses_the_length(
    provider: OpenAIProvider, recorded: Recorded
) -> None:
    recorded.answer(embeddings(base64_of(1)))
    await embed(provider, ["a"], "short")
    assert recorded.asked[0].body["dimensions"] == 256


async def test_order_is_that_of_the_indices(provider: OpenAIProvider, recorded: Recorded) -> None:
    data = [{"index": i, "embedding": base64_of(i)} for i in (2, 0, 1)]
    recorded.answer(said({"data": data}))
    embedded = await embed(provider, TEXTS)
    assert [row.tolist() for row in embedded.rows] == [[0.0], [1.0], [2.0]]
    assert embedded.tokens == 0


async def test_what_is_wrong_with_vectors_is_left_to_the_caller(
    provider: OpenAIProvider, recorded: Recorded
) -> None:
    recorded.answer(embeddings(base64_of(math.nan, 1), base64_of()))
    embedded = await embed(provider, TEXTS)
    assert len(embedded.rows) == 2
    assert math.isnan(embedded.rows[0][0])
    assert len(embedded.rows[1]) == 0


@pytest.mark.parametrize("vector", ["not base64!", "AAA=", None, ["a"], {"x": 1}])
async def test_what_is_no_vector_is_no_answer(
    provider: OpenAIProvider, recorded: Recorded, vector: Any
) -> None:
    recorded.answer(embeddings(vector))
    with pytest.raises(ProviderUnavailableError, match="cannot be read"):
        await embed(provider, ["a"])


async def test_a_request_holds_no_more_tokens_than_it_may(
    provider: OpenAIProvider, recorded: Recorded
) -> None:
    recorded.answer(embeddings(*[base64_of(1)] * 36), embeddings(*[base64_of(2)] * 4))
    embedded = await embed(provider, ["x" * 10_000] * 40)
    assert [len(asked.body["input"]) for asked in recorded.asked] == [36, 4]
    assert [row[0] for row in embedded.rows] == [1.0] * 36 + [2.0] * 4
    assert embedded.tokens == 10


async def test_a_long_call_goes_as_requests_side_by_side(provider: OpenAIProvider) -> None:
    """Fails with the API's limit of 2048 texts per request."""
    texts = [f"text {n}" for n in range(1000)]
    request = TextEmbeddingRequest(provider="openai", model=SMALL, texts=texts)
    assert len(prepare_embedding(request, provider)) == CONCURRENCY


async def test_documents_go_as_text_or_not_at_all(
    provider: OpenAIProvider, recorded: Recorded
) -> None:
    recorded.answer(embeddings(base64_of(1)))
    text = MultiModalContent.model_validate({"content": "a", "content_type": "text"})
    image = MultiModalContent.model_validate({"content": "aGk=", "content_type": "image"})
    await provider.text_embedding(calls.embedding(provider, SMALL, documents=[text]))
    assert recorded.asked[0].body["input"] == ["a"]
    with pytest.raises(InvalidRequestError, match="image") as caught:
        await provider.text_embedding(calls.embedding(provider, SMALL, documents=[text, image]))
    assert caught.value.field == "documents[1]"


@pytest.mark.usefixtures("http")
@pytest.mark.aimock
async def test_speaks(mocked: OpenAIProvider) -> None:
    spoken = await mocked.tts(calls.speech(mocked, "gpt-4o-mini-tts", ANSWER, "cedar"))
    assert (spoken.audio, spoken.mime_type) == (AUDIO, "audio/mpeg")


async def test_asks_for_the_format_of_the_facts(
    provider: OpenAIProvider, recorded: Recorded
) -> None:
    recorded.answer(Answer((b"ID3", b"more"), headers={"content-type": "audio/mpeg; x=y"}))
    spoken = await provider.tts(calls.speech(provider, "tts-1", "Grüße 🌍", "nova"))
    assert recorded.asked[0].path == "/v1/audio/speech"
    assert recorded.asked[0].body == {
        "model": "tts-1",
        "input": "Grüße 🌍",
        "voice": "nova",
        "response_format": "mp3",
    }
    assert (spoken.audio, spoken.mime_type) == (b"ID3more", "audio/mpeg")


@pytest.mark.parametrize(
    ("said_type", "mime_type"),
    [
        ("application/octet-stream", "audio/mpeg"),
        ("audio/wav", "audio/wav"),
        ("Audio/MPEG", "audio/mpeg"),
    ],
)
async def test_the_mime_type_is_what_the_server_says(
    provider: OpenAIProvider, recorded: Recorded, said_type: str, mime_type: str
) -> None:
    recorded.answer(Answer((b"x",), headers={"content-type": said_type}))
    assert (await provider.tts(calls.speech(provider, "tts-1", "a"))).mime_type == mime_type


async def test_audio_has_a_bound(
    provider: OpenAIProvider, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speech, "MAX_AUDIO_BYTES", 100)
    recorded.answer(Answer((b"x" * 60, b"y" * 60), headers={"content-type": "audio/mpeg"}))
    with pytest.raises(ProviderUnavailableError, match="more than 100 bytes"):
        await provider.tts(calls.speech(provider, "tts-1", "a"))


@pytest.mark.usefixtures("http")
@pytest.mark.aimock
async def test_writes_down_what_is_said(mocked: OpenAIProvider) -> None:
    call = calls.transcription(mocked, "gpt-transcribe", AUDIO)
    assert await mocked.speech2text(call) == ANSWER


@pytest.mark.usefixtures("http")
async def test_audio_goes_up_as_it_is(provider: OpenAIProvider, recorded: Recorded) -> None:
    recorded.answer(said({"text": "", "usage": {"type": "tokens"}}))
    audio = bytes(range(256)) * 20 + b"\r\n--boundary\r\n"
    assert await provider.speech2text(calls.transcription(provider, "whisper-1", audio)) == ""
    assert recorded.asked[0].path == "/v1/audio/transcriptions"
    form = recorded.asked[0].form()
    assert form.keys() == {"model", "response_format", "file"}
    assert form["model"].get_payload() == "whisper-1"
    assert form["response_format"].get_payload() == "json"
    assert form["file"].get_filename() == "audio.wav"
    assert form["file"].get_content_type() == "audio/wav"
    assert audio in recorded.asked[0].content


@pytest.mark.usefixtures("http")
@pytest.mark.parametrize(
    ("usage", "told"),
    [
        ({"type": "duration", "seconds": 9}, [(9.0, "second")]),
        ({"type": "tokens", "total_tokens": 45, "input_tokens": 14}, [(45, "token")]),
        ({"type": "tokens"}, []),
        (None, []),
    ],
)
async def test_transcription_is_billed_as_the_vendor_says(
    provider: OpenAIProvider, recorded: Recorded, usage: Any, told: list[Any]
) -> None:
    recorded.answer(said({"text": "a", "usage": usage}))
    bills = calls.Bills()
    call = calls.transcription(provider, "whisper-1", AUDIO)
    await provider.speech2text(replace(call, record_usage=bills))
    assert bills == told


@pytest.mark.usefixtures("http")
@pytest.mark.aimock
@pytest.mark.parametrize(("text", "flagged"), [("I will hurt you", True), ("weather 世界", False)])
async def test_judges(mocked: OpenAIProvider, text: str, flagged: bool) -> None:
    call = calls.moderation(mocked, "omni-moderation-latest", text)
    assert await mocked.moderation(call) is flagged


@pytest.mark.parametrize(
    ("flags", "flagged"), [([False, True], True), ([False, False], False), ([True], True)]
)
async def test_one_flag_is_enough(
    provider: OpenAIProvider, recorded: Recorded, flags: list[bool], flagged: bool
) -> None:
    recorded.answer(said({"results": [{"flagged": flag} for flag in flags]}))
    call = calls.moderation(provider, "omni-moderation-latest", "text")
    assert await provider.moderation(call) is flagged
    assert recorded.asked[0].path == "/v1/moderations"
    assert recorded.asked[0].body == {"model": "omni-moderation-latest", "input": "text"}


@pytest.mark.parametrize("results", [[], [{}], [{"flagged": "no"}], [{"flagged": None}], None])
async def test_no_verdict_is_an_error(
    provider: OpenAIProvider, recorded: Recorded, results: Any
) -> None:
    recorded.answer(said({"results": results}))
    with pytest.raises(ProviderUnavailableError):
        await provider.moderation(calls.moderation(provider, "omni-moderation-latest", "text"))
