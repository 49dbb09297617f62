"""Bad input, over every provider with the kind of call: a typed error, or the right answer.

Vendors are recorded ones, and a request that is refused must not have reached them. What each
check does in detail is tested in tests/unit/test_calls_*; that no provider goes around it, here.
"""

import json
import math
from array import array
from base64 import b64encode
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final

import pytest

from invokeq.protocol.entities import ModelType
from invokeq.protocol.errors import (
    InvalidRequestError,
    InvokeqError,
    ProviderUnavailableError,
    RequestError,
    UnusableAnswerError,
)
from invokeq.protocol.requests import (
    CallRequest,
    LLMRequest,
    LLMStructuredOutputRequest,
    ModerationRequest,
    RerankRequest,
    Speech2TextRequest,
    SummaryRequest,
    TextEmbeddingRequest,
    TTSRequest,
)
from invokeq_providers import Provider
from invokeq_providers.anthropic import AnthropicProvider
from invokeq_providers.calls import Result, Scores, Segment, Vectors, serve
from invokeq_providers.chunks import LLMChunk
from invokeq_providers.cohere import CohereProvider
from invokeq_providers.jina import JinaProvider
from invokeq_providers.local import LocalProvider
from invokeq_providers.openai import OpenAIProvider
from invokeq_providers.scripted import ScriptedProvider
from tests.support.calls import Bench
from tests.support.vendors.recorded import Answer, Asked, Recorded, said

pytestmark = [
    pytest.mark.usefixtures("no_certificates"),
    pytest.mark.timeout(240),
    # aiohttp's remark on bodies over 1 MB: they are in memory already
    pytest.mark.filterwarnings("ignore:Sending a large body directly:ResourceWarning"),
]

MODELS: Final[dict[str, dict[str, str]]] = {
    "scripted": {
        "llm": "echo",
        "text-embedding": "hash",
        "rerank": "overlap",
        "tts": "silence",
        "speech2text": "tags",
        "moderation": "words",
    },
    "local": {
        "llm": "smollm2",
        "text-embedding": "minilm",
        "rerank": "minilm-rerank",
        "tts": "espeak",
        "speech2text": "whisper-tiny",
        "moderation": "safetype",
    },
    "openai": {
        "llm": "gpt-4o-mini",
        "text-embedding": "text-embedding-3-small",
        "tts": "tts-1",
        "speech2text": "whisper-1",
        "moderation": "omni-moderation-latest",
    },
    "anthropic": {"llm": "claude-opus-5-5"},
    "cohere": {
        "llm": "command-a-03-2025",
        "text-embedding": "embed-v4.0",
        "rerank": "rerank-v3.5",
    },
    "jina": {"text-embedding": "jina-embeddings-v3", "rerank": "jina-reranker-v3"},
}
VENDORS = {
    "openai": OpenAIProvider,
    "anthropic": AnthropicProvider,
    "cohere": CohereProvider,
    "jina": JinaProvider,
}
BLANK = " \n\t "
MEGABYTES = "One sentence about nothing in particular. " * 250_000
SCRIPTS = "你好，世界。 مرحبا بالعالم Привет 👩‍👩‍👧‍👦"


def providers(model_type: ModelType, *, vendors_only: bool = False) -> list[Any]:
    """Return the names of the providers with a kind of model."""
    names = [name for name, models in MODELS.items() if model_type.value in models]
    if vendors_only:
        names = [name for name in names if name in VENDORS]
    marked = {"local": [pytest.mark.local_model]}
    return [pytest.param(name, marks=marked.get(name, [])) for name in names]


class Place:
    """One provider, the vendor behind the provider if any, and requests for the models."""

    def __init__(self, name: str, provider: Provider, recorded: Recorded) -> None:
        self.name = name
        self.provider = provider
        self.recorded = recorded

    async def said(self, request: CallRequest, file: bytes | None = None) -> list[Any]:
        return list(await Bench(provider=self.provider, file=file).outputs(request))

    async def refuses(
        self, request: CallRequest, field: str, file: bytes | None = None
    ) -> InvokeqError:
        """Check for a refused field, without a request to the vendor."""
        with pytest.raises(InvalidRequestError) as caught:
            await self.said(request, file)
        assert caught.value.field == field
        assert self.recorded.asked == []
        return caught.value

    def _named(self, model_type: ModelType) -> dict[str, Any]:
        return {"provider": "scripted", "model": MODELS[self.name][model_type.value]}

    def embedding(self, *texts: str) -> TextEmbeddingRequest:
        return TextEmbeddingRequest(**self._named(ModelType.TEXT_EMBEDDING), texts=list(texts))

    def rerank(self, query: str, *docs: str, top_n: int | None = None) -> RerankRequest:
        named = self._named(ModelType.RERANK)
        return RerankRequest(**named, query=query, docs=list(docs), top_n=top_n)

    def tts(self, text: str, voice: str = "") -> TTSRequest:
        return TTSRequest(**self._named(ModelType.TTS), voice=voice, content_text=text)

    def speech2text(self) -> Speech2TextRequest:
        return Speech2TextRequest(**self._named(ModelType.SPEECH2TEXT), mime_type="audio/wav")

    def moderation(self, text: str) -> ModerationRequest:
        return ModerationRequest(**self._named(ModelType.MODERATION), text=text)

    def structured(self, schema: dict[str, Any]) -> LLMStructuredOutputRequest:
        named: dict[str, Any] = {**self._named(ModelType.LLM), **_prompt("Hi")}
        return LLMStructuredOutputRequest(**named, structured_output_schema=schema)

    def llm(self, text: str) -> LLMRequest:
        named: dict[str, Any] = {**self._named(ModelType.LLM), **_prompt(text)}
        return LLMRequest(**named)


def _prompt(text: str) -> dict[str, Any]:
    return {"prompt_messages": [{"role": "user", "content": text}]}


@pytest.fixture
async def place(request: pytest.FixtureRequest, recorded: Recorded) -> AsyncGenerator[Place, None]:
    name: str = request.param
    provider: Provider
    if name in VENDORS:
        provider = VENDORS[name](name, {"base_url": recorded.url, "api_key": "k"})
    elif name == "local":
        provider = LocalProvider(name, {"context_size": 1024})
    else:
        provider = ScriptedProvider(name, {})
    yield Place(name, provider, recorded)
    await provider.close()


EMBEDDERS = providers(ModelType.TEXT_EMBEDDING)
RANKERS = providers(ModelType.RERANK)
SPEAKERS = providers(ModelType.TTS)
HEARERS = providers(ModelType.SPEECH2TEXT)
JUDGES = providers(ModelType.MODERATION)
WRITERS = providers(ModelType.LLM)


@pytest.mark.parametrize("place", EMBEDDERS, indirect=True)
@pytest.mark.parametrize("text", ["", BLANK])
async def test_a_text_that_says_nothing_is_not_embedded(place: Place, text: str) -> None:
    await place.refuses(place.embedding("a", text), "texts[1]")


@pytest.mark.parametrize("place", EMBEDDERS, indirect=True)
async def test_no_texts_give_no_vectors(place: Place) -> None:
    (result,) = await place.said(place.embedding())
    assert isinstance(result, Result)
    assert result.value["count"] == 0
    assert place.recorded.asked == []


@pytest.mark.parametrize("place", RANKERS, indirect=True)
async def test_no_documents_give_no_ranks(place: Place) -> None:
    (result,) = await place.said(place.rerank("q"))
    assert result.value["ranked"] == 0
    assert place.recorded.asked == []


@pytest.mark.parametrize("place", RANKERS, indirect=True)
async def test_what_says_nothing_is_not_ranked(place: Place) -> None:
    await place.refuses(place.rerank("q", "a", BLANK), "docs[1]")
    await place.refuses(place.rerank(BLANK, "a"), "query")


@pytest.mark.parametrize("place", RANKERS, indirect=True)
async def test_top_n_0_is_no_request(place: Place) -> None:
    with pytest.raises(ValueError, match="top_n"):
        place.rerank("q", "a", top_n=0)


@pytest.mark.parametrize("place", SPEAKERS, indirect=True)
async def test_white_space_is_not_spoken(place: Place) -> None:
    await place.refuses(place.tts(BLANK), "content_text")


@pytest.mark.parametrize("place", SPEAKERS, indirect=True)
async def test_an_unknown_voice_is_told_the_voices(place: Place) -> None:
    error = await place.refuses(place.tts("Hello.", voice="nobody"), "voice")
    assert isinstance(error, InvalidRequestError)
    assert error.voices
    assert error.voices[0] in str(error)


@pytest.mark.parametrize("place", HEARERS, indirect=True)
@pytest.mark.parametrize("audio", [b"", b"this is text and not audio", b"\x89PNG\r\n\x1a\n" * 100])
async def test_what_is_no_audio_is_not_heard(place: Place, audio: bytes) -> None:
    await place.refuses(place.speech2text(), "file", audio)


@pytest.mark.parametrize("place", WRITERS, indirect=True)
@pytest.mark.parametrize("schema", [{"type": "nonsense"}, {"type": 7}, {"properties": []}])
async def test_a_schema_that_is_none_is_refused(place: Place, schema: dict[str, Any]) -> None:
    await place.refuses(place.structured(schema), "structured_output_schema")


@pytest.mark.parametrize("place", WRITERS, indirect=True)
async def test_a_summary_of_white_space_is_refused(place: Place) -> None:
    model = f"scripted/{MODELS[place.name]['llm']}"
    bench = Bench(provider=place.provider, summary_model=model)
    with pytest.raises(InvalidRequestError) as caught:
        await bench.outputs(SummaryRequest(text=BLANK))
    assert caught.value.field == "text"
    assert place.recorded.asked == []


def _told(asked: Asked) -> str:
    return json.dumps(asked.body, ensure_ascii=False)


def _rows(name: str, *rows: list[float]) -> Answer:
    """Answer with packed vectors, as the vendor does; JSON has no NaN."""
    packed = [b64encode(array("f", row).tobytes()).decode() for row in rows]
    if name == "cohere":
        return said({"embeddings": {"base64": packed}})
    data = [{"index": i, "embedding": row} for i, row in enumerate(packed)]
    return said({"data": data, "usage": {"total_tokens": 2}})


@pytest.mark.parametrize(
    "place", providers(ModelType.TEXT_EMBEDDING, vendors_only=True), indirect=True
)
@pytest.mark.parametrize(
    "rows",
    [
        pytest.param([[1.0, 2.0], [1.0, math.nan]], id="nan"),
        pytest.param([[1.0, 2.0], [math.inf, 1.0]], id="infinity"),
        pytest.param([[1.0, 2.0], [1.0]], id="length"),
        pytest.param([[1.0, 2.0], []], id="empty"),
        pytest.param([[1.0, 2.0]], id="missing"),
    ],
)
async def test_vectors_that_are_none_are_no_answer(place: Place, rows: list[list[float]]) -> None:
    place.recorded.answer(_rows(place.name, *rows))
    with pytest.raises((UnusableAnswerError, ProviderUnavailableError)):
        await place.said(place.embedding("a", "b"))


@pytest.mark.parametrize("place", providers(ModelType.RERANK, vendors_only=True), indirect=True)
@pytest.mark.parametrize("found", [[], [(0, 1.0), (0, 0.5)], [(0, 1.0), (7, 0.5)], [(-1, 1.0)]])
async def test_scores_of_nothing_are_no_answer(
    place: Place, found: list[tuple[int, float]]
) -> None:
    results = [{"index": index, "relevance_score": score} for index, score in found]
    place.recorded.answer(said({"results": results}))
    with pytest.raises(UnusableAnswerError):
        await place.said(place.rerank("q", "a", "b"))


@pytest.mark.parametrize("place", providers(ModelType.TTS, vendors_only=True), indirect=True)
@pytest.mark.parametrize("pieces", [(b"\xff\xfb\x90\x00",) * 3, ()])
async def test_a_vendor_that_stops_in_the_middle_gives_no_audio(
    place: Place, pieces: tuple[bytes, ...]
) -> None:
    broken = Answer(pieces, headers={"content-type": "audio/mpeg"}, end="cut")
    place.recorded.answer(broken)
    with pytest.raises(ProviderUnavailableError):
        await place.said(place.tts("Hello."))


@pytest.mark.parametrize("place", EMBEDDERS, indirect=True)
@pytest.mark.parametrize("text", [SCRIPTS, MEGABYTES], ids=["scripts", "10 MB"])
async def test_every_text_is_embedded(place: Place, text: str) -> None:
    place.recorded.answer(_rows(place.name, [1.0, 2.0]))
    *vectors, end = await place.said(place.embedding(text))
    assert [type(part) for part in vectors] == [Vectors]
    assert end.value["count"] == 1
    assert all(text in _told(asked) for asked in place.recorded.asked)


@pytest.mark.parametrize("place", RANKERS, indirect=True)
@pytest.mark.parametrize("text", [SCRIPTS, MEGABYTES], ids=["scripts", "10 MB"])
async def test_every_text_is_ranked(place: Place, text: str) -> None:
    place.recorded.answer(said({"results": [{"index": 0, "relevance_score": 0.5}]}))
    scores, end = await place.said(place.rerank("q", text))
    assert isinstance(scores, Scores)
    assert [index for index, _ in scores.ranked] == [0]
    assert end.value["ranked"] == 1
    assert all(text in _told(asked) for asked in place.recorded.asked)


@pytest.mark.parametrize("place", JUDGES, indirect=True)
@pytest.mark.parametrize("text", [BLANK, SCRIPTS, MEGABYTES[:300_000]])
async def test_every_text_is_judged(place: Place, text: str) -> None:
    place.recorded.answer(said({"results": [{"flagged": False}]}))
    (result,) = await place.said(place.moderation(text))
    assert result.value == {"result": False}
    asked = "".join(str(one.body["input"]) for one in place.recorded.asked)
    assert not place.recorded.asked or len(asked) == len(text)


@pytest.mark.parametrize("place", SPEAKERS, indirect=True)
async def test_other_scripts_are_spoken(place: Place) -> None:
    audio = Answer((b"\xff\xfb\x90\x00",), headers={"content-type": "audio/mpeg"})
    place.recorded.answer(audio)
    said_ = await place.said(place.tts(SCRIPTS))
    assert [part for part in said_ if isinstance(part, Segment)]
    if place.recorded.asked:
        told = "".join(one.body["input"] for one in place.recorded.asked)
        assert sorted(told) == sorted(SCRIPTS)


@pytest.mark.parametrize("place", WRITERS, indirect=True)
async def test_ten_megabytes_are_asked_or_refused(place: Place) -> None:
    """The local model names the limit; a vendor refuses too long texts."""
    place.recorded.answer(said({"error": {"message": "too long"}}, status=400))
    async with aclosing(
        serve(place.llm(MEGABYTES), Bench(provider=place.provider).services)
    ) as parts:
        if place.name == "scripted":
            assert isinstance(await anext(parts), LLMChunk)
            return
        with pytest.raises(RequestError, match=r"room for 1024|too long"):
            await anext(parts)
