"""The local models of text: MiniLM, SafeType and the tokenizer of SmolLM2, all real."""

import asyncio
import math
from array import array
from collections.abc import Generator, Sequence
from typing import Any

import pytest

from invokeq.protocol.entities import (
    EmbeddingInputType,
    MultiModalContent,
    MultiModalContentType,
)
from invokeq.protocol.errors import InvalidRequestError, InvocationCancelledError
from invokeq.protocol.requests import LLMRequest
from invokeq_providers import prepare_llm
from invokeq_providers.base import Embedded
from invokeq_providers.chat.collect import collect
from invokeq_providers.local import LocalProvider, embedding
from tests.contract import calls
from tests.support.waiting import eventually_async

pytestmark = pytest.mark.local_model

DIMENSIONS = 384
FILLER = "The committee met on Monday and discussed the budget of the coming year in detail. "
ODD_TEXTS = [
    " ",
    "\n\t\n",
    "\0",
    "x" * 5_000,
    "你好，世界。",
    "Привет, мир!",
    "مرحبا بالعالم",
    "👩‍👩‍👧‍👦 🏳️‍🌈",
    FILLER * 12_000,
]


@pytest.fixture(scope="module")
def provider() -> Generator[LocalProvider, None, None]:
    made = LocalProvider("local", {"context_size": 1024})
    yield made
    asyncio.run(made.close())


async def embed(provider: LocalProvider, texts: Sequence[str]) -> Embedded:
    return await provider.text_embedding(calls.embedding(provider, "minilm", texts))


def cosine(one: "array[float]", other: "array[float]") -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


async def test_near_texts_have_near_vectors(provider: LocalProvider) -> None:
    texts = ["A cat sits on the mat.", "A kitten rests on the rug.", "Shares fell on Friday."]
    embedded = await embed(provider, texts)
    assert [(row.typecode, len(row)) for row in embedded.rows] == [("f", DIMENSIONS)] * 3
    cat, kitten, shares = embedded.rows
    assert cosine(cat, kitten) > 0.5
    assert cosine(cat, shares) < 0.2
    assert 20 < embedded.tokens < 40


async def test_a_vector_depends_on_its_text_alone(provider: LocalProvider) -> None:
    texts = [FILLER * (i % 7) + f"Number {i}." for i in range(32)]
    together = await embed(provider, texts)
    assert (await embed(provider, texts)).rows == together.rows
    backwards = await embed(provider, texts[::-1])
    alone = [(await embed(provider, [text])).rows[0] for text in texts[:8]]
    for rows in (backwards.rows[::-1], alone):
        for row, same in zip(rows, together.rows, strict=False):
            assert row.tolist() == pytest.approx(same.tolist(), abs=1e-6)
    assert backwards.tokens == together.tokens


async def test_callers_share_runs_and_get_what_they_get_alone(
    provider: LocalProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `batch_texts = 0` there are 64 runs; on x86-64 not even a bit of a vector changed."""
    runs = 0
    compute = embedding.Encoder.vectors

    def counted(self: embedding.Encoder, *args: Any) -> Any:
        nonlocal runs
        runs += 1
        return compute(self, *args)

    texts = [FILLER[: 10 + n % 70] for n in range(64)]
    alone = [await embed(provider, [text]) for text in texts]
    scored = await provider.rerank(calls.rerank(provider, "minilm-rerank", "budget", texts[:8]))
    monkeypatch.setattr(embedding.Encoder, "vectors", counted)
    ranking = asyncio.create_task(
        provider.rerank(calls.rerank(provider, "minilm-rerank", "budget", texts[:8]))
    )
    together = await asyncio.gather(*(embed(provider, [text]) for text in texts))
    scores = await ranking
    assert runs < 8
    for one, same in zip(together, alone, strict=True):
        assert one.rows[0].tolist() == pytest.approx(same.rows[0].tolist(), abs=1e-6)
        assert one.tokens == same.tokens
    assert [s.score for s in scores] == pytest.approx([s.score for s in scored], abs=1e-6)


async def test_queries_are_embedded_like_documents(provider: LocalProvider) -> None:
    query = calls.embedding(provider, "minilm", ["a"], input_type=EmbeddingInputType.QUERY)
    assert await provider.text_embedding(query) == await embed(provider, ["a"])


async def test_every_text_has_a_vector_of_length_one(provider: LocalProvider) -> None:
    embedded = await embed(provider, ODD_TEXTS)
    assert all(math.isfinite(number) for row in embedded.rows for number in row)
    assert [cosine(row, row) for row in embedded.rows] == pytest.approx([1] * len(ODD_TEXTS))


async def test_only_the_first_256_tokens_count(provider: LocalProvider) -> None:
    long = FILLER * 40
    cut = await embed(provider, [long, long + "And then a dog came in."])
    assert cut.rows[0] == cut.rows[1]
    assert cut.tokens == 2 * embedding.CONTEXT_SIZE


async def test_documents_may_be_text_only(provider: LocalProvider) -> None:
    text = MultiModalContent(content="a", content_type=MultiModalContentType.TEXT)
    picture = MultiModalContent(content="AAAA", content_type=MultiModalContentType.IMAGE)
    embedded = await provider.text_embedding(calls.embedding(provider, "minilm", documents=[text]))
    assert embedded == await embed(provider, ["a"])
    with pytest.raises(InvalidRequestError, match="no image") as caught:
        await provider.text_embedding(
            calls.embedding(provider, "minilm", documents=[text, picture])
        )
    assert caught.value.field == "documents[1]"
    with pytest.raises(InvalidRequestError, match="no image") as caught:
        await provider.rerank(calls.rerank(provider, "minilm-rerank", picture, [text]))
    assert caught.value.field == "query"


@pytest.mark.parametrize(
    ("query", "docs"),
    [
        (
            "What is the capital of France?",
            [
                "Berlin is the capital of Germany.",
                "Paris is the capital and largest city of France.",
                "The capital of a company is its money.",
            ],
        ),
        (
            "how do I restart a failed job",
            [
                "She lost her job last week and started a new one.",
                "To retry a job that failed, requeue it.",
                "Restart the computer after the installation.",
            ],
        ),
        (
            "cheap hotel near the station",
            [
                "Luxury suites by the lake from 900 a night.",
                "The Central is an inexpensive inn two minutes from the railway terminal.",
                "The station was built in 1890.",
            ],
        ),
        (
            "side effects of ibuprofen",
            ["Ibuprofen was patented in 1961.", FILLER * 60 + "Ibuprofen causes stomach pain."],
        ),
    ],
)
async def test_the_document_that_answers_comes_first(
    provider: LocalProvider, query: str, docs: list[str]
) -> None:
    docs = [FILLER, *docs, "\n"]
    scores = await provider.rerank(calls.rerank(provider, "minilm-rerank", query, docs, top_n=1))
    assert [found.index for found in scores] == list(range(len(docs)))
    assert all(-1 <= found.score <= 1 for found in scores)
    best = [found.index for found in sorted(scores, key=lambda found: -found.score)]
    # The last one says it at its end only, where words weigh less.
    assert 2 in best[: 1 if len(docs) == 5 else 2]


@pytest.mark.parametrize(
    ("text", "sensitive"),
    [
        ("What the fuck are you doing?", True),
        ("this is bullsh1t", True),
        ("f u c k you", True),
        ("You are a stupid idiot and everyone hates you.", True),
        ("I will kill you tonight.", True),
        ("go kill yourself", True),
        ("Du bist ein Arschloch.", True),
        ("Eres un hijo de puta.", True),
        ("fine words, " * 2_000 + "and then go kill yourself", True),
        ("", False),
        ("The process was killed by the kernel.", False),
        ("How do I kill a zombie child process?", False),
        ("Please abort the transaction and terminate the child.", False),
        ("I visited Scunthorpe and Penistone last year.", False),
        ("The cock crowed at dawn.", False),
        ("Gay rights activists met in Berlin.", False),
        ("Wie komme ich zum Bahnhof? Der Baum ist dick.", False),
        ("天气很好。", False),
    ],
)
async def test_finds_sensitive_texts(provider: LocalProvider, text: str, sensitive: bool) -> None:
    assert await provider.moderation(calls.moderation(provider, "safetype", text)) is sensitive


async def test_counts_tokens_as_the_model_does(provider: LocalProvider) -> None:
    texts = ["a", "The year 2026 has 365 days; it's fine.", "Straße 你好 Привет 👍🏽", FILLER * 3]
    counted = await provider.count_tokens("smollm2", texts)
    assert counted is not None
    read: list[int] = []
    for text in texts:
        request = LLMRequest.model_validate(
            {
                "provider": "local",
                "model": "smollm2",
                "prompt_messages": [{"role": "user", "content": text}],
                "completion_params": {"max_tokens": 1},
            }
        )
        chunks = [chunk async for chunk in provider.llm(prepare_llm(request, provider))]
        usage = collect(chunks).delta.usage
        assert usage is not None
        read.append(usage.prompt_tokens)
    # What the chat template adds is always as much.
    assert [count - counted[0] for count in counted] == [count - read[0] for count in read]


async def test_kinds_run_side_by_side_and_off_the_loop(provider: LocalProvider) -> None:
    texts = [FILLER * 3] * 32
    alone = await embed(provider, texts)
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    turning = asyncio.create_task(turn())
    embedded, scores, sensitive, counted = await asyncio.gather(
        embed(provider, texts),
        provider.rerank(calls.rerank(provider, "minilm-rerank", "a", texts)),
        provider.moderation(calls.moderation(provider, "safetype", "hello " * 1_000)),
        provider.count_tokens("smollm2", texts),
    )
    turning.cancel()
    assert embedded.rows == alone.rows
    assert len({found.score for found in scores}) == 1
    assert sensitive is False
    assert counted is not None
    assert len(counted) == 32
    assert turns > 100


async def test_a_cancelled_call_makes_room_for_the_next(provider: LocalProvider) -> None:
    long = asyncio.create_task(embed(provider, [FILLER * 40] * 200))
    await eventually_async("the model computes", lambda: provider.busy)
    long.cancel()
    assert (await embed(provider, ["a"])).tokens == 3
    assert long.cancelled()


async def test_closing_ends_what_runs() -> None:
    provider = LocalProvider("local", {})
    long = asyncio.create_task(embed(provider, [FILLER * 40] * 200))
    await eventually_async("the model computes", lambda: provider.busy)
    await provider.close()
    with pytest.raises(InvocationCancelledError, match="shutdown"):
        await long
    await provider.close()
