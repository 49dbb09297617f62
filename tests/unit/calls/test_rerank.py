"""Reranking keeps and sorts the vendor's scores, and cuts by threshold before top_n."""

from collections.abc import Sequence
from typing import Any

import pytest

from invokeq.protocol import events
from invokeq.protocol.entities import MultiModalContent
from invokeq.protocol.errors import InvalidRequestError, ModelNotFoundError, UnusableAnswerError
from invokeq.protocol.requests import MultiModalRerankRequest, RerankRequest
from invokeq_providers.base import Score
from invokeq_providers.calls import Result, Scores
from invokeq_providers.calls.rerank import AT_ONCE, rank
from tests.support.calls import Bench

Ranked = tuple[int, float]

DOCS = ["zero", "one", "two", "three"]
SCORES = {"rerank": {"scores": [0.1, 7.5, -2.0, 7.5]}}


def request(docs: Sequence[str] = DOCS, query: str = "q", **fields: Any) -> RerankRequest:
    fields = {"model": "overlap", **fields}
    return RerankRequest(provider="scripted", docs=list(docs), query=query, **fields)


def content(text: str, content_type: str = "text") -> MultiModalContent:
    return MultiModalContent.model_validate({"content": text, "content_type": content_type})


async def serve(bench: Bench, asked: RerankRequest | MultiModalRerankRequest) -> list[Ranked]:
    """Serve a request to the end, and check for a complete ranking."""
    *batches, end = await bench.outputs(asked)
    found: list[Ranked] = []
    for batch in batches:
        assert isinstance(batch, Scores)
        assert batch.start == len(found)
        assert len(batch.ranked) <= AT_ONCE
        found += batch.ranked
    assert isinstance(end, Result)
    assert end.value == {"model": asked.model, "ranked": len(found)}
    return found


async def ranked(options: dict[str, Any], **fields: Any) -> list[Ranked]:
    return await serve(Bench(options), request(**fields))


async def test_scores_are_untouched_sorted_and_ties_keep_their_order() -> None:
    assert await ranked(SCORES) == [(1, 7.5), (3, 7.5), (0, 0.1), (2, -2.0)]


async def test_many_documents_are_said_in_parts() -> None:
    """Fails if a ranking is said at once; tried with an AT_ONCE without bound."""
    docs = [f"doc {n}" for n in range(2 * AT_ONCE + 1)]
    bench = Bench()
    parts = [piece for piece in await bench.outputs(request(docs)) if isinstance(piece, Scores)]
    assert [len(part.ranked) for part in parts] == [AT_ONCE, AT_ONCE, 1]
    assert [len(events.scores(part.start, part.ranked)) < 512 * 1024 for part in parts] == [
        True
    ] * 3
    assert len(await serve(Bench(), request(docs))) == len(docs)


@pytest.mark.parametrize(
    ("threshold", "top_n", "kept"),
    [
        (None, None, [1, 3, 0, 2]),
        (None, 1, [1]),
        (None, 99, [1, 3, 0, 2]),
        (0.0, None, [1, 3, 0]),
        (7.5, None, [1, 3]),
        (0.0, 2, [1, 3]),
        (8.0, 2, []),
    ],
)
async def test_the_threshold_comes_before_top_n(
    threshold: float | None, top_n: int | None, kept: list[int]
) -> None:
    found = await ranked(SCORES, score_threshold=threshold, top_n=top_n)
    assert [index for index, _ in found] == kept


def test_ranking_needs_no_bounds() -> None:
    scores = [Score(0, 0.0), Score(1, 0.0)]
    assert rank(scores, None, None) == scores


async def test_no_documents_are_an_empty_result_without_a_call() -> None:
    bench = Bench()
    asked = MultiModalRerankRequest(
        provider="scripted", model="overlap", query=content("q"), docs=[]
    )
    for empty in (request([]), asked):
        assert await serve(bench, empty) == []
    assert bench.events == []


async def test_an_unknown_model_is_an_error_even_without_documents() -> None:
    with pytest.raises(ModelNotFoundError):
        await Bench().outputs(request([], model="nope"))


@pytest.mark.parametrize(
    ("docs", "query", "field"),
    [(["a", " "], "q", "docs[1]"), (["a"], "", "query"), ([], "\n", "query")],
)
async def test_what_says_nothing_is_named(docs: list[str], query: str, field: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        await Bench().outputs(request(docs, query))
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        ("nan", "the score of document 3 is nan"),
        ("duplicate", "it has two scores for document 3"),
        ("out_of_range", "it has a score for document 4 of 4"),
        ("missing", "it has scores for 3 of 4 documents"),
    ],
)
async def test_scores_that_cannot_be_trusted_are_an_error(spoil: str, problem: str) -> None:
    with pytest.raises(UnusableAnswerError) as caught:
        await ranked({"rerank": {"spoil": spoil}})
    assert caught.value.problem == problem


async def test_a_vendor_may_give_only_the_best_when_asked_for_them() -> None:
    options = {"rerank": {"spoil": "missing", "scores": [4, 3, 2, 1]}}
    assert [index for index, _ in await ranked(options, top_n=3)] == [0, 1, 2]


async def test_texts_in_any_script_are_scored() -> None:
    docs = ["кот спит", "собака лает"]
    found = await ranked({}, docs=docs, query="собака")
    assert found[0] == (1, 1.0)


async def test_pictures_are_ranked() -> None:
    docs = [content("iVBORw0KGgo=", "image"), content("words")]
    asked = MultiModalRerankRequest(
        provider="scripted", model="overlap-vision", query=content("words"), docs=docs
    )
    assert [index for index, _ in await serve(Bench(), asked)] == [1, 0]


async def test_a_picture_for_a_model_without_eyes_is_named() -> None:
    asked = MultiModalRerankRequest(
        provider="scripted", model="overlap", query=content("iVBOR", "image"), docs=[content("a")]
    )
    with pytest.raises(InvalidRequestError, match="takes no image") as caught:
        await Bench().outputs(asked)
    assert caught.value.field == "query"
    plain = asked.model_copy(update={"query": content("a")})
    assert len(await serve(Bench(), plain)) == 1
