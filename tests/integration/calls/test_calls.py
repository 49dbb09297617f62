"""Every kind of call through a real worker with the real local models, sync and async."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from invokeq import AsyncSession, Session
from invokeq.errors import (
    InvalidConfigurationError,
    InvalidRequestError,
    ModelNotFoundError,
    RequestTooLargeError,
)
from invokeq.protocol.entities import (
    EmbeddingInputType,
    LLMModelConfig,
    ModerationModelConfig,
    RerankModelConfig,
    Speech2TextModelConfig,
    TextEmbeddingModelConfig,
    TTSModelConfig,
)
from tests.integration.conftest import user
from tests.support.processes.worker import running_worker
from tests.support.servers.server import Server

pytestmark = [pytest.mark.local_model, pytest.mark.timeout(360)]

QUEUES = ("llm", "text-embedding", "rerank", "tts", "speech2text", "moderation")
EMBEDDING = TextEmbeddingModelConfig(provider="local", model="minilm")
SPEECH = TTSModelConfig(provider="local", model="espeak", voice="en-us")
HEARING = Speech2TextModelConfig(provider="local", model="whisper-tiny")
RERANKER = {"provider": "local", "model": "minilm-rerank"}
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "likes_tea": {"type": "boolean"}},
    "required": ["name", "likes_tea"],
}
SENTENCES = "The weather is nice today. We are going to the beach. Please bring some water."


@pytest.fixture(scope="module")
def local_url(redis_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with one worker that serves every kind of call, for all tests of this module."""
    redis_server.erase()
    directory = tmp_path_factory.mktemp("local")
    tables = {"local": {"type": "local"}}
    with running_worker(
        redis_server.url,
        directory,
        providers=tables,
        queues=QUEUES,
        summary_model="local/smollm2",
    ):
        yield redis_server.url


@pytest.fixture
def models(local_url: str) -> Iterator[Session]:
    with Session("acme", redis=local_url) as session:
        yield session


def test_structured_output_keeps_booleans(models: Session) -> None:
    config = LLMModelConfig(
        provider="local",
        model="smollm2",
        mode="chat",
        completion_params={"temperature": 0.0, "max_tokens": 60},
    )
    question = user("Anna likes tea. Answer with her name and whether she likes tea.")
    chunks = list(models.model.llm_structured_output.invoke(config, question, SCHEMA))
    assert [c.structured_output for c in chunks[:-1]] == [None] * (len(chunks) - 1)
    found = chunks[-1].structured_output
    assert found is not None
    assert isinstance(found["likes_tea"], bool)
    result = models.model.llm_structured_output.invoke(config, question, SCHEMA, stream=False)
    assert result.structured_output == found
    with pytest.raises(InvalidRequestError, match="structured_output_schema"):
        list(models.model.llm_structured_output.invoke(config, question, {"type": "nonsense"}))


def test_embeddings_are_in_order_and_alike_texts_are_close(models: Session) -> None:
    texts = ["a cat sleeps", "a kitten naps", "the stock market fell"] + [
        f"sentence number {n}" for n in range(100)
    ]
    result = models.model.text_embedding.invoke(EMBEDDING, texts, EmbeddingInputType.DOCUMENT)
    assert len(result.embeddings) == len(texts)
    assert {len(row) for row in result.embeddings} == {384}
    cat, kitten, market = result.embeddings[:3]

    def alike(a: list[float], b: list[float]) -> float:
        return sum(x * y for x, y in zip(a, b, strict=True))

    assert alike(cat, kitten) > alike(cat, market)
    assert result.usage.total_tokens > 0
    alone = models.model.text_embedding.invoke(EMBEDDING, [texts[57]]).embeddings[0]
    assert alike(alone, result.embeddings[57]) > 0.99
    assert models.model.text_embedding.invoke(EMBEDDING, []).embeddings == []
    with pytest.raises(InvalidRequestError, match=r"texts\[1\]"):
        models.model.text_embedding.invoke(EMBEDDING, ["x", ""])


def test_rerank_puts_the_right_text_first(models: Session) -> None:
    docs = ["Bananas are yellow.", "Paris is the capital of France.", "Dogs bark."]
    config = RerankModelConfig(
        provider="local", model="minilm-rerank", score_threshold=-1.0, top_n=2
    )
    result = models.model.rerank.invoke(config, docs, "What is France's capital?")
    assert result.docs[0].index == 1
    assert len(result.docs) == 2
    assert result.docs[0].score >= result.docs[1].score
    selected = {"provider": "local", "model": "minilm-rerank", "model_type": "rerank"}
    assert len(models.model.rerank.invoke(selected, docs, "dogs").docs) == 3
    assert models.model.rerank.invoke(config, [], "dogs").docs == []


def test_speech_there_and_back(models: Session) -> None:
    segments = list(models.model.tts.invoke(SPEECH, SENTENCES))
    assert len(segments) >= 2
    assert all(isinstance(segment, bytes) and segment for segment in segments)
    text = models.model.speech2text.invoke(HEARING, io.BytesIO(b"".join(segments))).lower()
    assert sum(word in text for word in ("weather", "nice", "beach", "water", "today")) >= 3
    with pytest.raises(InvalidRequestError, match="en-us"):
        list(models.model.tts.invoke({**SPEECH.model_dump(), "voice": "nobody"}, "Hello."))
    with pytest.raises(InvalidRequestError, match="content_text"):
        models.model.tts.invoke(SPEECH, " \n ")


def test_audio_that_is_none_is_refused_before_it_is_sent(models: Session, local_url: str) -> None:
    for audio in (b"", b"this is no audio at all, but text"):
        with pytest.raises(InvalidRequestError, match="file"):
            models.model.speech2text.invoke(HEARING, io.BytesIO(audio))
    with (
        Session("acme", redis=local_url, max_file_bytes=1000) as small,
        pytest.raises(RequestTooLargeError, match="1000"),
    ):
        small.model.speech2text.invoke(HEARING, io.BytesIO(b"ID3" + b"\0" * 2000))


def test_moderation(models: Session) -> None:
    config = ModerationModelConfig(provider="local", model="safetype")
    assert models.model.moderation.invoke(config, "I hope you have a lovely day.") is False
    assert models.model.moderation.invoke(config, "I will kill you, you fucking idiot.") is True


def test_summary(models: Session) -> None:
    assert models.model.summary.invoke("short", "") == "short"
    text = "\n".join(f"Fact {n}: the bridge in town {n} was built of stone." for n in range(22))
    summary = models.model.summary.invoke(text, "One sentence.")
    assert summary.strip()
    assert summary != text


def test_a_model_of_another_kind_is_no_model(models: Session) -> None:
    with pytest.raises(ModelNotFoundError, match="minilm"):
        models.model.text_embedding.invoke({"provider": "local", "model": "smollm2"}, ["x"])


async def test_the_same_on_asyncio(local_url: str) -> None:
    async with AsyncSession("acme", redis=local_url) as session:
        model = session.model
        vectors = await model.text_embedding.invoke(EMBEDDING, ["hello"])
        assert len(vectors.embeddings[0]) == 384
        segments = [segment async for segment in model.tts.invoke(SPEECH, SENTENCES)]
        heard = await model.speech2text.invoke(HEARING, io.BytesIO(b"".join(segments)))
        assert "beach" in heard.lower()
        ranked = await model.rerank.invoke(RERANKER, ["a"], "a")
        assert ranked.docs[0].index == 0
        assert await model.summary.invoke("short", "") == "short"
        attached = await model.tts.submit(SPEECH, "Hello there.", detached=True)
        audio = await attached.result()
        assert await session.attach(attached.request_id).result() == audio


def test_without_a_summary_model_the_operator_is_told(redis_url: str, tmp_path: Path) -> None:
    with (
        running_worker(redis_url, tmp_path),
        Session("acme", redis=redis_url) as session,
        pytest.raises(InvalidConfigurationError, match="summary_model"),
    ):
        session.model.summary.invoke("long " * 1000, "")
