"""Embeddings and reranking by Cohere and Jina.

Against aimock and llama.cpp's own server, and against recorded answers of the API references of
Cohere ("Embed API (v2)", "Rerank API (v2)") and of Jina ("Jina Search Foundation API").
"""

from array import array
from base64 import b64encode
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import pytest

from invokeq.protocol.entities import EmbeddingInputType, MultiModalContent
from invokeq.protocol.errors import InvalidRequestError, ProviderUnavailableError
from invokeq_providers.base import Score
from invokeq_providers.cohere import CohereProvider
from invokeq_providers.jina import JinaProvider
from tests.contract import calls
from tests.contract.vendors import VECTOR, Aimock
from tests.support.vendors.recorded import Answer, Recorded, said

pytestmark = pytest.mark.usefixtures("no_certificates")

PNG = "iVBORw0KGgoAAAANSUhEUg=="
TEXT = MultiModalContent.model_validate({"content": "Grüße 世界", "content_type": "text"})
IMAGE = MultiModalContent.model_validate({"content": PNG, "content_type": "image"})
ROW = b64encode(array("f", [0.1, -1.0]).tobytes()).decode()
DOCS = ["Oslo", "Bergen", "Grüße aus 東京"]
SHORTER: dict[str, Any] = {"parameter_rules": [{"name": "dimensions", "default": 256}]}


@pytest.fixture
async def cohere(recorded: Recorded) -> AsyncGenerator[CohereProvider, None]:
    models = {"short": {"like": "embed-v4.0", **SHORTER}}
    provider = CohereProvider("cohere", {"base_url": recorded.url, "models": models})
    yield provider
    await provider.close()


@pytest.fixture
async def jina(recorded: Recorded) -> AsyncGenerator[JinaProvider, None]:
    models = {"short": {"like": "jina-embeddings-v3", **SHORTER}}
    provider = JinaProvider("jina", {"base_url": f"{recorded.url}/v1/", "models": models})
    yield provider
    await provider.close()


def cohere_rows(*rows: Any, **billed: float) -> Answer:
    meta = {"api_version": {"version": "2"}, "billed_units": billed}
    return said({"id": "i", "embeddings": {"base64": rows}, "texts": [], "meta": meta})


def jina_rows(*rows: Any) -> Answer:
    data = [{"object": "embedding", "index": i, "embedding": row} for i, row in enumerate(rows)]
    usage = {"total_tokens": 9, "prompt_tokens": 9}
    return said({"model": "m", "object": "list", "usage": usage, "data": data})


def results(*scores: tuple[int, float], **more: Any) -> Answer:
    found = [{"index": i, "relevance_score": score} for i, score in scores]
    return said({"results": found, "usage": {"total_tokens": 3}, **more})


@pytest.mark.parametrize(
    ("input_type", "word"),
    [
        (EmbeddingInputType.QUERY, "search_query"),
        (EmbeddingInputType.DOCUMENT, "search_document"),
    ],
)
async def test_cohere_embeds_texts(
    cohere: CohereProvider, recorded: Recorded, input_type: EmbeddingInputType, word: str
) -> None:
    recorded.answer(cohere_rows(ROW, ROW, input_tokens=4))
    call = calls.embedding(cohere, "embed-v4.0", DOCS[:2], input_type=input_type)
    embedded = await cohere.text_embedding(call)
    assert recorded.asked[0].path == "/v2/embed"
    assert recorded.asked[0].body == {
        "model": "embed-v4.0",
        "input_type": word,
        "embedding_types": ["base64"],
        "texts": DOCS[:2],
    }
    assert embedded.rows == [array("f", [0.1, -1.0])] * 2
    assert embedded.tokens == 4


async def test_cohere_embeds_pictures(cohere: CohereProvider, recorded: Recorded) -> None:
    recorded.answer(cohere_rows(ROW, ROW, input_tokens=4, image_tokens=100))
    call = calls.embedding(cohere, "short", documents=[TEXT, IMAGE])
    embedded = await cohere.text_embedding(call)
    body = recorded.asked[0].body
    assert body["inputs"] == [
        {"content": [{"type": "text", "text": "Grüße 世界"}]},
        {"content": [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}]},
    ]
    assert "texts" not in body
    assert body["output_dimension"] == 256
    assert embedded.tokens == 104


async def test_cohere_ranks(cohere: CohereProvider, recorded: Recorded) -> None:
    recorded.answer(results((2, 0.99999), (0, -3.5)))
    scores = await cohere.rerank(calls.rerank(cohere, "rerank-v3.5", "q 世界", DOCS, 2))
    assert recorded.asked[0].path == "/v2/rerank"
    assert recorded.asked[0].body == {
        "model": "rerank-v3.5",
        "query": "q 世界",
        "documents": DOCS,
        "top_n": 2,
    }
    assert scores == [Score(2, 0.99999), Score(0, -3.5)]


@pytest.mark.parametrize(("billed", "told"), [({"search_units": 2}, [(2.0, "search")]), ({}, [])])
async def test_cohere_bills_searches(
    cohere: CohereProvider, recorded: Recorded, billed: dict[str, Any], told: list[Any]
) -> None:
    recorded.answer(results((0, 0.5), meta={"billed_units": billed}))
    bills = calls.Bills()
    call = calls.rerank(cohere, "rerank-v3.5", "q", ["a"])
    await cohere.rerank(replace(call, record_usage=bills))
    assert bills == told


async def test_a_bill_that_is_no_number_is_an_error(
    cohere: CohereProvider, jina: JinaProvider, recorded: Recorded
) -> None:
    recorded.answer(results((0, 0.5), meta={"billed_units": {"search_units": "two"}}))
    with pytest.raises(ProviderUnavailableError, match="two"):
        await cohere.rerank(calls.rerank(cohere, "rerank-v3.5", "q", ["a"]))
    recorded.answer(results((0, 0.5), usage={"total_tokens": "two"}))
    with pytest.raises(ProviderUnavailableError, match="two"):
        await jina.rerank(calls.rerank(jina, "jina-reranker-v3", "q", ["a"]))


async def test_cohere_ranks_texts_only(cohere: CohereProvider, recorded: Recorded) -> None:
    recorded.answer(results((0, 0.5)))
    await cohere.rerank(calls.rerank(cohere, "rerank-v3.5", TEXT, [TEXT]))
    assert recorded.asked[0].body["documents"] == ["Grüße 世界"]
    assert "top_n" not in recorded.asked[0].body
    with pytest.raises(InvalidRequestError, match="image") as caught:
        await cohere.rerank(calls.rerank(cohere, "rerank-v3.5", TEXT, [TEXT, IMAGE]))
    assert caught.value.field == "docs[1]"


@pytest.mark.aimock
async def test_cohere_with_a_server_of_others(aimock: Aimock) -> None:
    provider = CohereProvider("cohere", {"base_url": aimock.url})
    embedded = await provider.text_embedding(calls.embedding(provider, "embed-v4.0", DOCS))
    scores = await provider.rerank(calls.rerank(provider, "rerank-v3.5", "capital", DOCS))
    await provider.close()
    assert [row.tolist() for row in embedded.rows] == [VECTOR] * 3
    assert scores == [Score(2, 0.98), Score(0, 0.25), Score(1, -0.5)]


@pytest.mark.parametrize(
    ("model", "input_type", "task"),
    [
        ("jina-embeddings-v3", EmbeddingInputType.QUERY, "retrieval.query"),
        ("jina-embeddings-v5-text-small", EmbeddingInputType.DOCUMENT, "retrieval.passage"),
        ("jina-code-embeddings-0.5b", EmbeddingInputType.QUERY, "nl2code.query"),
        ("unheard-of", EmbeddingInputType.DOCUMENT, "retrieval.passage"),
    ],
)
async def test_jina_embeds_texts(
    jina: JinaProvider,
    recorded: Recorded,
    model: str,
    input_type: EmbeddingInputType,
    task: str,
) -> None:
    recorded.answer(jina_rows(ROW, ROW))
    call = calls.embedding(jina, model, DOCS[1:], input_type=input_type)
    embedded = await jina.text_embedding(call)
    assert recorded.asked[0].path == "/v1/embeddings"
    assert recorded.asked[0].body == {
        "model": model,
        "input": DOCS[1:],
        "embedding_type": "base64",
        "task": task,
    }
    assert embedded.rows == [array("f", [0.1, -1.0])] * 2
    assert embedded.tokens == 9


async def test_jina_embeds_pictures(jina: JinaProvider, recorded: Recorded) -> None:
    recorded.answer(jina_rows([0.5, 0.1], [1, 2]))
    url = IMAGE.model_copy(update={"content": f"data:image/png;base64,{PNG}"})
    call = calls.embedding(jina, "jina-clip-v2", documents=[TEXT, url])
    embedded = await jina.text_embedding(call)
    assert recorded.asked[0].body["input"] == ["Grüße 世界", {"image": PNG}]
    assert embedded.rows == [array("d", [0.5, 0.1]), array("d", [1, 2])]


async def test_jina_takes_the_length_from_the_facts(jina: JinaProvider, recorded: Recorded) -> None:
    recorded.answer(jina_rows(ROW))
    await jina.text_embedding(calls.embedding(jina, "short", ["a"]))
    assert recorded.asked[0].body["dimensions"] == 256


async def test_jina_ranks(jina: JinaProvider, recorded: Recorded) -> None:
    recorded.answer(results((1, 0.75)))
    bills = calls.Bills()
    call = calls.rerank(jina, "jina-reranker-v3", "q", DOCS, 1)
    scores = await jina.rerank(replace(call, record_usage=bills))
    assert bills == [(3, "token")]
    assert recorded.asked[0].path == "/v1/rerank"
    assert recorded.asked[0].body == {
        "model": "jina-reranker-v3",
        "query": "q",
        "documents": DOCS,
        "return_documents": False,
        "top_n": 1,
    }
    assert scores == [Score(1, 0.75)]


async def test_jina_ranks_pictures(jina: JinaProvider, recorded: Recorded) -> None:
    recorded.answer(results((1, 0.75), (0, 0.5)))
    await jina.rerank(calls.rerank(jina, "jina-reranker-m0", IMAGE, [TEXT, IMAGE]))
    body = recorded.asked[0].body
    assert body["query"] == {"image": PNG}
    assert body["documents"] == ["Grüße 世界", {"image": PNG}]


@pytest.mark.local_model
async def test_jina_with_a_server_of_others(llama_embeddings_url: str) -> None:
    provider = JinaProvider("llama", {"base_url": llama_embeddings_url})
    embedded = await provider.text_embedding(calls.embedding(provider, "smollm2", DOCS))
    await provider.close()
    assert {(row.typecode, len(row)) for row in embedded.rows} == {("f", 576)}
    assert embedded.tokens > 0
