"""Turns the vectors in a vendor's JSON into packed rows, without changing a bit of them."""

import sys
from array import array
from base64 import b64decode
from collections.abc import Mapping, Sequence
from typing import Any

from invokeq.protocol.entities import AIModelEntity


def rows_of(vectors: Sequence[Any]) -> list["array[float]"]:
    """Pack vectors, all in one type; raises ValueError or TypeError for what is no vector.

    Text is base64 of little-endian 32-bit floats. Lists become 32-bit floats if every number of
    every list is one, else 64-bit floats.
    """
    if all(isinstance(vector, str) for vector in vectors):
        return [_decoded(vector) for vector in vectors]
    lists = [_decoded(vector).tolist() if isinstance(vector, str) else vector for vector in vectors]
    try:
        rows = [array("f", numbers) for numbers in lists]
    except OverflowError:  # a number beyond the range of 32 bits
        rows = []
    if [row.tolist() for row in rows] == lists:
        return rows
    return [array("d", numbers) for numbers in lists]


def indexed_rows(data: Sequence[Mapping[str, Any]]) -> list["array[float]"]:
    """Pack the list `data` of an embeddings response, in the order that its indices say."""
    return rows_of([item["embedding"] for item in sorted(data, key=_index)])


def wanted_dimensions(facts: AIModelEntity) -> int | None:
    """Give the length of vectors that the operator chose: the default of the rule `dimensions`."""
    rule = next((rule for rule in facts.parameter_rules if rule.name == "dimensions"), None)
    return None if rule is None or rule.default is None else int(rule.default)


def _index(item: Mapping[str, Any]) -> int:
    return int(item.get("index") or 0)


def _decoded(text: str) -> "array[float]":
    row = array("f")
    row.frombytes(b64decode(text, validate=True))
    if sys.byteorder == "big":
        row.byteswap()
    return row
