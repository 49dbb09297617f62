"""Embeddings are cut into batches, run side by side, and believed only after a look."""

import asyncio
import math
import struct
from array import array
from collections.abc import Sequence
from typing import Any

import pytest

from invokeq.protocol.entities import EmbeddingInputType, MultiModalContent
from invokeq.protocol.errors import (
    InvalidRequestError,
    ModelNotFoundError,
    ProviderUnavailableError,
    UnusableAnswerError,
)
from invokeq.protocol.requests import MultiModalEmbeddingRequest, TextEmbeddingRequest
from invokeq_providers.base import Embedded, EmbeddingCall
from invokeq_providers.calls import Output, Result, Vectors, serve
from invokeq_providers.calls.embedding import CONCURRENCY, DEFAULT_MAX_CHUNKS, PIECE_BYTES
from invokeq_providers.scripted import ScriptedProvider, scripted_vector
from tests.support.calls import Bench, Gate

SMALL = {"models": {"hash": {"model_properties": {"max_chunks": 2}}}}
PICTURE = {"content": "iVBORw0KGgo=", "content_type": "image"}


def request(texts: Sequence[str], model: str = "hash", **fields: Any) -> TextEmbeddingRequest:
    return TextEmbeddingRequest(provider="scripted", model=model, texts=list(texts), **fields)


def documents(*given: dict[str, Any], model: str = "hash") -> MultiModalEmbeddingRequest:
    items = [MultiModalContent.model_validate(item) for item in given]
    return MultiModalEmbeddingRequest(provider="scripted", model=model, documents=items)


def text(content: str) -> dict[str, Any]:
    return {"content": content, "content_type": "text"}


def rows(outputs: Sequence[Output]) -> "list[array[float]]":
    """Return the vectors; check that each piece starts at the end of the previous piece."""
    found: list[array[float]] = []
    for piece in outputs:
        if isinstance(piece, Vectors):
            assert piece.start == len(found)
            found += piece.rows
    return found


def result(outputs: Sequence[Output]) -> Result:
    assert isinstance(outputs[-1], Result)
    assert sum(isinstance(piece, Result) for piece in outputs) == 1
    return outputs[-1]


async def test_vectors_come_in_the_order_of_the_texts_and_usage_at_the_end() -> None:
    texts = [f"text {n}" for n in range(7)]
    bench = Bench(SMALL)
    outputs = await bench.outputs(request(texts))
    assert rows(outputs) == [scripted_vector(text) for text in texts]
    value = result(outputs).value
    assert (value["model"], value["count"]) == ("hash", 7)
    assert "embeddings" not in value
    usage = value["usage"]
    assert (usage["tokens"], usage["total_tokens"], usage["currency"]) == (14, 14, "USD")
    assert float(usage["total_price"]) == pytest.approx(14 * 0.1e-6)
    assert usage["latency"] >= 0
    assert result(outputs).usage is not None
    assert [e for e in bench.events if e.startswith("started")] == [
        "started:0:2",
        "started:1:2",
        "started:2:2",
        "started:3:1",
    ]
    assert bench.heard == 4


async def test_the_input_type_reaches_the_model() -> None:
    for input_type in EmbeddingInputType:
        outputs = await Bench().outputs(request(["a"], input_type=input_type))
        assert rows(outputs) == [scripted_vector("a", input_type)]


async def test_no_texts_are_an_empty_result_without_a_call() -> None:
    bench = Bench()
    for asked in (request([]), documents()):
        value = await bench.result(asked)
        assert value["count"] == 0
        assert value["usage"]["total_tokens"] == 0
    assert bench.events == []


@pytest.mark.parametrize("blank", ["", " \n\t\u3000"])
async def test_a_text_that_says_nothing_is_named(blank: str) -> None:
    bench = Bench()
    with pytest.raises(InvalidRequestError) as caught:
        await bench.outputs(request(["a", blank]))
    assert caught.value.field == "texts[1]"
    with pytest.raises(InvalidRequestError) as caught:
        await bench.outputs(documents(text(blank)))
    assert caught.value.field == "documents[0]"
    assert bench.events == []


async def test_an_unknown_model_is_an_error_even_without_texts() -> None:
    with pytest.raises(ModelNotFoundError, match="hash"):
        await Bench().outputs(request([], model="nope"))


async def test_batches_run_side_by_side_within_a_bound() -> None:
    bench = Bench(SMALL)
    gate = Gate(bench.scripted)
    task = asyncio.create_task(bench.outputs(request([str(n) for n in range(40)])))
    await gate.reached(CONCURRENCY - 1)
    assert len(gate.steps) == CONCURRENCY
    gate.let_through(*range(20))
    await task
    assert bench.peak == CONCURRENCY


async def test_the_model_may_bound_what_runs_side_by_side() -> None:
    properties = {"max_chunks": 1, "max_workers": 2}
    bench = Bench({"models": {"hash": {"model_properties": properties}}})
    await bench.outputs(request(["a", "b", "c", "d", "e"]))
    assert bench.peak == 2


async def test_vectors_are_said_as_soon_as_those_before_them_are_there() -> None:
    bench = Bench(SMALL)
    gate = Gate(bench.scripted)
    pieces = serve(request(["a", "b", "c", "d", "e", "f"]), bench.services)
    first = asyncio.ensure_future(anext(pieces))
    await gate.reached(2)
    gate.let_through(1, 0)  # the last batch never comes
    assert isinstance(await first, Vectors)
    second = await anext(pieces)
    assert isinstance(second, Vectors)
    assert second.start == 2
    await pieces.aclose()
    assert bench.events[-1] == "closed:2"


async def test_without_a_property_a_batch_has_the_documented_size() -> None:
    bench = Bench({"models": {"hash": {"model_properties": {"max_chunks": "many"}}}})
    await bench.outputs(request([str(n) for n in range(DEFAULT_MAX_CHUNKS + 1)]))
    assert "started:0:32" in bench.events
    assert "started:1:1" in bench.events


async def test_no_piece_is_larger_than_an_event_may_be() -> None:
    dimensions = 50_000
    bench = Bench({"embedding": {"dimensions": dimensions}})
    outputs = await bench.outputs(request([str(n) for n in range(8)]))
    pieces = [piece for piece in outputs if isinstance(piece, Vectors)]
    assert [len(piece.rows) for piece in pieces] == [2, 2, 2, 2]
    assert all(len(p.rows) * dimensions * 4 <= PIECE_BYTES for p in pieces)


async def test_one_vector_is_said_whole_however_long() -> None:
    outputs = await Bench({"embedding": {"dimensions": PIECE_BYTES}}).outputs(request(["a", "b"]))
    assert [len(piece.rows) for piece in outputs if isinstance(piece, Vectors)] == [1, 1]


async def test_sixty_four_bits_stay_sixty_four_bits() -> None:
    outputs = await Bench({"embedding": {"dtype": "f8"}}).outputs(request(["a"]))
    (row,) = rows(outputs)
    assert row.typecode == "d"
    assert row == scripted_vector("a", dtype="f8")


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        ("nan", "the vector of text 3 has a number that is not finite"),
        ("infinity", "the vector of text 3 has a number that is not finite"),
        ("short", "the vector of text 3 has 7 dimensions, those before it 8"),
        ("empty", "the vector of text 3 is empty"),
        ("missing", "1 vectors came for the 2 texts 2 to 3"),
        ("extra", "3 vectors came for the 2 texts 2 to 3"),
    ],
)
async def test_bad_vectors_are_an_error_that_names_the_text(spoil: str, problem: str) -> None:
    bench = Bench({**SMALL, "embedding": {"spoil": spoil, "spoil_at": 1}})
    outputs: list[Output] = []

    async def consume() -> None:
        async for piece in serve(request(["a", "b", "c", "d"]), bench.services):
            outputs.append(piece)  # noqa: PERF401  a comprehension would lose them

    with pytest.raises(UnusableAnswerError) as caught:
        await consume()
    assert caught.value.problem == problem
    assert (caught.value.provider, caught.value.model) == ("scripted", "hash")
    assert len(rows(outputs)) == 2  # the good batch before it stays said


async def test_the_first_vector_may_be_empty_too() -> None:
    with pytest.raises(UnusableAnswerError, match="text 0 is empty"):
        await Bench({"embedding": {"spoil": "empty"}}).outputs(request(["a"]))


async def test_a_long_batch_is_checked_as_well() -> None:
    bench = Bench({"embedding": {"dimensions": 600_000, "spoil": "nan"}})
    with pytest.raises(UnusableAnswerError, match="text 1 has a number that is not finite"):
        await bench.outputs(request(["a", "b"]))


async def test_a_fault_in_one_batch_cancels_the_others() -> None:
    bench = Bench({**SMALL, "embedding": {"fail_at": 0, "hang_at": 1}})
    with pytest.raises(ProviderUnavailableError):
        await bench.outputs(request(["a", "b", "c", "d"]))
    assert bench.events[-1] == "closed:1"


class Odd(ScriptedProvider):
    """A provider with fixed rows as the answer."""

    def __init__(self, *given: "array[float]") -> None:
        super().__init__("scripted", {})
        self.given = given

    async def text_embedding(self, call: EmbeddingCall) -> Embedded:
        return Embedded(rows=self.given, tokens=0)


async def test_rows_of_two_types_become_one() -> None:
    odd = Odd(array("f", [0.5]), array("d", [0.1]))
    outputs = await Bench(provider=odd).outputs(request(["a", "b"]))
    assert rows(outputs) == [array("d", [0.5]), array("d", [0.1])]


@pytest.mark.parametrize("code", ["f", "d"])
async def test_huge_numbers_are_finite_and_impossible_ones_are_not(code: str) -> None:
    largest = 3.4e38 if code == "f" else 1.7e308
    rows_given = [array(code, [1.0, largest]), array(code, [-largest, 0.0])]
    outputs = await Bench(provider=Odd(*rows_given)).outputs(request(["a", "b"]))
    assert rows(outputs) == rows_given
    signalling = struct.unpack("<f", b"\x01\x00\x80\x7f")[0]
    for bad in (math.inf, -math.inf, math.nan, signalling):
        with pytest.raises(UnusableAnswerError, match="not finite"):
            await Bench(provider=Odd(array(code, [0.0, bad, 1.0]))).outputs(request(["a"]))


async def test_texts_reach_a_model_that_takes_nothing_else_as_texts() -> None:
    outputs = await Bench().outputs(documents(text("a")))
    assert rows(outputs) == [scripted_vector("a")]


async def test_pictures_go_where_they_are_taken() -> None:
    outputs = await Bench().outputs(documents(text("a"), PICTURE, model="hash-vision"))
    assert len(rows(outputs)) == 2
    bench = Bench()
    with pytest.raises(InvalidRequestError, match="takes no image") as caught:
        await bench.outputs(documents(text("a"), PICTURE))
    assert caught.value.field == "documents[1]"
    assert bench.events == []
