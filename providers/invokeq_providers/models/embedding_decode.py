"""Decoding of a vendor's JSON vectors into packed rows, bit by bit the same."""

import re
import sys
from array import array
from base64 import b64decode
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import orjson
from pydantic import BaseModel, ConfigDict

from invokeq.protocol.entities import AIModelEntity

_IS_TEXT: Final = re.compile(rb'"embedding"\s*:\s*"')
_HEAD: Final = 4096
"""Bytes at the start of an answer; the first vector begins within."""


class _Vector(BaseModel):
    model_config = ConfigDict(val_json_bytes="base64")

    embedding: bytes
    index: int | None = None


class _Vectors(BaseModel):
    data: list[_Vector]
    usage: dict[str, Any] | None = None


def read_embeddings(body: bytes) -> tuple[list["array[float]"], Mapping[str, Any]]:
    """Return the rows of an embeddings response in index order, and the usage.

    Raises ValueError, TypeError, AttributeError or LookupError for any other body.
    """
    if _IS_TEXT.search(body, 0, _HEAD):
        # Vectors in base64 take a fifth of the time here. Every body refused here, such as one
        # with mixed forms, gets a second chance below.
        with suppress(ValueError):
            found = _Vectors.model_validate_json(body)
            vectors = sorted(found.data, key=lambda vector: vector.index or 0)
            return [_row(vector.embedding) for vector in vectors], found.usage or {}
    answer = orjson.loads(body)
    return indexed_rows(answer["data"]), answer.get("usage") or {}


def rows_of(vectors: Sequence[Any]) -> list["array[float]"]:
    """Pack vectors into arrays of one type.

    Text is base64 of little-endian 32-bit floats. Lists become 32-bit floats if every number
    survives the conversion, else 64-bit floats. Raises ValueError or TypeError for a vector of
    another shape.
    """
    if all(isinstance(vector, str) for vector in vectors):
        return [_decoded(vector) for vector in vectors]
    lists = [_decoded(vector).tolist() if isinstance(vector, str) else vector for vector in vectors]
    try:
        rows = [array("f", numbers) for numbers in lists]
    except OverflowError:  # a number beyond the range of 32 bits
        rows = []
    # Converting back is the exact test: one lost bit in one number makes all rows 64-bit.
    if [row.tolist() for row in rows] == lists:
        return rows
    return [array("d", numbers) for numbers in lists]


def indexed_rows(data: Sequence[Mapping[str, Any]]) -> list["array[float]"]:
    """Pack the list `data` of an embeddings response, in index order."""
    return rows_of([item["embedding"] for item in sorted(data, key=_index)])


def wanted_dimensions(facts: AIModelEntity) -> int | None:
    """Return the operator's choice of vector length: the default of the rule `dimensions`."""
    rule = next((rule for rule in facts.parameter_rules if rule.name == "dimensions"), None)
    return None if rule is None or rule.default is None else int(rule.default)


def _index(item: Mapping[str, Any]) -> int:
    return int(item.get("index") or 0)


def _decoded(text: str) -> "array[float]":
    return _row(b64decode(text, validate=True))


def _row(packed: bytes) -> "array[float]":
    row = array("f", packed)
    if sys.byteorder == "big":
        row.byteswap()
    return row
