"""Packing the vectors of vendors' JSON."""

import math
from array import array
from base64 import b64encode
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from invokeq_providers.models import embedding_decode as rows_module
from invokeq_providers.models.embedding_decode import indexed_rows, read_embeddings, rows_of
from invokeq_providers.openai.embedding import split_texts

FLOATS = st.lists(st.floats(width=32, allow_nan=True))


def base64_of(numbers: list[float]) -> str:
    return b64encode(array("f", numbers).tobytes()).decode()


@given(st.lists(FLOATS))
def test_base64_comes_out_bit_by_bit(vectors: list[list[float]]) -> None:
    rows = rows_of([base64_of(vector) for vector in vectors])
    assert [row.tobytes() for row in rows] == [array("f", v).tobytes() for v in vectors]


@given(st.lists(st.lists(st.floats(allow_nan=False))))
def test_numbers_keep_their_value(vectors: list[list[float]]) -> None:
    rows = rows_of(vectors)
    assert [row.tolist() for row in rows] == vectors
    assert len({row.typecode for row in rows}) <= 1


@pytest.mark.parametrize(
    ("vectors", "typecode"),
    [
        ([[0.5, 1], [2, -3]], "f"),
        ([[0.5], [0.1]], "d"),
        ([[0.5], [1e300]], "d"),
        ([[0.5], base64_of([0.1])], "f"),
        ([[0.1], base64_of([0.1])], "d"),
        ([[math.nan]], "d"),
    ],
)
def test_all_rows_have_one_type(vectors: list[Any], typecode: str) -> None:
    assert {row.typecode for row in rows_of(vectors)} == {typecode}


@pytest.mark.parametrize("vector", ["%", "AAA=", "AAAAAAA=", None, 1, ["a"], [None], {"a": 1}])
def test_what_is_no_vector_is_refused(vector: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        rows_of([vector])


def test_indices_say_the_order_where_there_are_any() -> None:
    data = [{"index": 1, "embedding": [1]}, {"index": 0, "embedding": [0]}]
    assert [row[0] for row in indexed_rows(data)] == [0, 1]
    bare = [{"embedding": [1]}, {"embedding": [0]}]
    assert [row[0] for row in indexed_rows(bare)] == [1, 0]


def body_of(*vectors: Any, **more: Any) -> bytes:
    data = [{"object": "embedding", "embedding": v, "index": i} for i, v in enumerate(vectors)]
    return orjson.dumps({"object": "list", "data": data, **more})


@given(st.lists(FLOATS))
def test_an_answer_comes_out_bit_by_bit(vectors: list[list[float]]) -> None:
    rows, _ = read_embeddings(body_of(*map(base64_of, vectors)))
    assert [row.tobytes() for row in rows] == [array("f", v).tobytes() for v in vectors]


def test_packed_vectors_are_never_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails when `read_embeddings` goes the way of numbers with all answers."""
    monkeypatch.delattr(rows_module, "indexed_rows")
    rows, usage = read_embeddings(body_of(base64_of([1, 2]), usage={"prompt_tokens": 7}))
    assert rows == [array("f", [1, 2])]
    assert usage == {"prompt_tokens": 7}


@pytest.mark.parametrize(
    ("vectors", "typecode"),
    [
        ([[0.5, 1.0], [2.0, -3.0]], "f"),
        ([[0.5], [0.1]], "d"),
        ([base64_of([0.5]), [0.25]], "f"),
        ([base64_of([0.5]), [0.1]], "d"),
        ([[0.5], base64_of([0.25])], "f"),
        ([], ""),
    ],
)
def test_an_answer_may_have_numbers(vectors: list[Any], typecode: str) -> None:
    rows, usage = read_embeddings(body_of(*vectors, usage=None))
    assert rows == rows_of(vectors)
    assert {row.typecode for row in rows} == set(typecode)
    assert usage == {}


@pytest.mark.parametrize("index", [[1, 0], [1, None], ["1", "0"], [1.0, 0.0]])
def test_an_answer_is_in_the_order_of_its_indices(index: list[Any]) -> None:
    data = [{"embedding": base64_of([float(i or 0)]), "index": i} for i in index]
    rows, _ = read_embeddings(orjson.dumps({"data": data}))
    assert [row[0] for row in rows] == [0, 1]


@pytest.mark.parametrize("vector", ["%", "AAA=", "AAAAAAA=", "AAAAA", None, 1, ["a"], {"a": 1}])
@pytest.mark.parametrize("others", [[], [base64_of([1])]])
def test_an_answer_without_vectors_is_refused(others: list[str], vector: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        read_embeddings(body_of(*others, vector))


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b"{}", b'{"data": 1}', b'{"data": [{"embedding": "AAAA'], ids=str
)
def test_what_is_no_answer_is_refused(body: bytes) -> None:
    with pytest.raises((ValueError, TypeError, AttributeError, LookupError)):
        read_embeddings(body)


@pytest.mark.parametrize(
    ("texts", "sizes"),
    [
        (["a"], [1]),
        (["x" * 8192] * 36, [36]),
        (["x" * 8192] * 37, [36, 1]),
        (["x" * 10**6] * 37, [36, 1]),  # a text over the bound of one is the vendor's to refuse
        (["世" * 1000] * 101, [100, 1]),
        (["short"] * 2048, [2048]),
    ],
)
def test_texts_are_cut_where_a_request_is_full(texts: list[str], sizes: list[int]) -> None:
    parts = split_texts(texts)
    assert [len(part) for part in parts] == sizes
    assert [text for part in parts for text in part] == texts
