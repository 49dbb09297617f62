"""Answers are checked by schemas, even for hostile schemas and answers."""

import sys
from typing import Any

import pytest

from invokeq.protocol.errors import InvalidRequestError, MissingExtraError
from invokeq_providers.chat.answer_schema import (
    MAX_REPAIR_CHARACTERS,
    MAX_SCHEMA_BYTES,
    UnfitAnswerError,
    check_schema,
    read_answer,
)


def only(name: str = "a", **rules: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {name: rules}}


def problem(text: str, schema: dict[str, Any]) -> str:
    with pytest.raises(UnfitAnswerError) as caught:
        read_answer(text, schema)
    return caught.value.problem


def refusal(schema: dict[str, Any]) -> str:
    with pytest.raises(InvalidRequestError) as caught:
        check_schema(schema)
    assert caught.value.field == "structured_output_schema"
    return str(caught.value.problem)


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": ["object", "null"]},
        {"$defs": {"b": {"$anchor": "c"}}, "properties": {"a": {"$ref": "#c"}}},
        {"$id": "https://example.com/s", "properties": {"a": {"$ref": "#"}}},
        {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "definitions": {"b": {}},
            "properties": {"a": {"$ref": "#/definitions/b"}},
        },
        {"enum": [{"$ref": "no reference"}]},
        {"properties": {"$ref": {"type": "string"}}},
    ],
)
def test_what_is_a_schema_passes(schema: dict[str, Any]) -> None:
    check_schema(schema)


def test_a_wrong_keyword_is_named_with_its_place() -> None:
    assert refusal(only(type="str")) == "is no JSON schema: $.properties.a.type cannot be str"
    assert "$.properties.a.pattern cannot be (" in refusal(only(pattern="("))
    assert "$.required cannot be true" in refusal({"required": True})


def test_a_schema_is_bounded_in_size_and_depth() -> None:
    assert "bytes long" in refusal({"description": "x" * MAX_SCHEMA_BYTES})
    deep: dict[str, Any] = {}
    for _ in range(1000):
        deep = {"properties": {"a": deep}}
    assert "nested too deeply" in refusal(deep)
    less_deep: dict[str, Any] = {}
    for _ in range(100):
        less_deep = {"properties": {"a": less_deep}}
    assert "nested too deeply" in refusal(less_deep)


def test_references_lead_nowhere_but_into_the_schema() -> None:
    for reference in ("#/$defs/b", "file:///etc/passwd", "https://example.com/schema"):
        assert refusal(only(**{"$ref": reference})) == f"has a $ref that leads nowhere: {reference}"
    hidden = {"properties": {"a": {"$id": "https://example.com/", "$ref": "https://example.com/x"}}}
    check_schema(hidden)
    with pytest.raises(InvalidRequestError, match="leads nowhere"):
        read_answer('{"a": 1}', hidden)


def test_evil_patterns_take_no_time() -> None:
    answer = '{"a": "' + "a" * 50_000 + '!"}'
    assert problem(answer, only(pattern="^(a+)+$")) == "$.a does not obey pattern ^(a+)+$"
    evil: dict[str, Any] = {"patternProperties": {"^(a+)+$": {}}, "additionalProperties": False}
    assert "additionalProperties false" in problem('{"' + "a" * 50_000 + '!": 1}', evil)


def test_a_pattern_that_cannot_be_matched_in_linear_time_is_not_checked() -> None:
    assert read_answer('{"a": "x"}', only(pattern="^(?=y)")) == {"a": "x"}
    loose = {"patternProperties": {"(?=b)": {"type": "null"}}, "additionalProperties": False}
    assert read_answer('{"b": 1}', loose) == {"b": 1}


def test_pattern_properties_and_the_rest_are_told_apart() -> None:
    schema: dict[str, Any] = {
        "properties": {"known": {}},
        "patternProperties": {"^n_": {"type": "integer"}},
        "additionalProperties": {"type": "string"},
    }
    fitting = '{"known": [], "n_1": 1, "other": "text"}'
    assert read_answer(fitting, schema)["n_1"] == 1
    assert problem('{"n_1": "1"}', schema) == "$.n_1 does not obey type integer"
    assert problem('{"other": 1}', schema) == "$.other does not obey type string"
    nested = only(type="array", items={"additionalProperties": False})
    assert (
        problem('{"a": [{"b": 1}]}', nested) == "$.a[0].b does not obey additionalProperties false"
    )


def test_unique_items_are_compared_in_linear_time() -> None:
    schema = only(uniqueItems=True)
    many = ",".join(f'{{"n": {n}}}' for n in range(20_000))
    assert len(read_answer(f'{{"a": [{many}]}}', schema)["a"]) == 20_000
    assert problem('{"a": [{"x": 1, "y": 2}, {"y": 2, "x": 1}]}', schema).startswith("$.a does not")
    assert read_answer('{"a": [1, 1]}', only(uniqueItems=False)) == {"a": [1, 1]}


def test_checks_that_cannot_be_told_apart_are_refused() -> None:
    both: dict[str, Any] = {"unevaluatedProperties": False, "patternProperties": {"a": {}}}
    assert "unevaluatedProperties" in refusal(both)
    check_schema({"unevaluatedProperties": False, "properties": {"a": {}}})
    assert "unevaluatedProperties" in problem('{"b": 1}', {"unevaluatedProperties": False})


def test_a_check_that_grows_without_end_is_ended() -> None:
    twice = {"allOf": [{"properties": {"x": {"$ref": "#/$defs/t"}}}] * 2}
    deep = '{"x":' * 30 + "1" + "}" * 30
    with pytest.raises(InvalidRequestError, match="steps"):
        read_answer(deep, {"$defs": {"t": twice}, "$ref": "#/$defs/t"})


def test_a_schema_that_is_nothing_but_itself_is_ended() -> None:
    check_schema({"$ref": "#"})
    assert "no end" in problem("{}", {"$ref": "#"})


def test_the_value_of_an_answer_is_not_told() -> None:
    assert "secret" not in problem('{"a": "secret"}', only(type="integer"))
    assert len(problem('{"' + "k" * 9999 + '": 1}', {"additionalProperties": False})) < 200


def test_numbers_that_json_cannot_say_are_not_let_through() -> None:
    assert problem("{'a': NaN}", only(type="number")) == "$.a does not obey type number"
    assert "cannot be repaired" in problem("{'a': " + "9" * 99 + "}", only(type="integer"))


@pytest.mark.parametrize("text", ["[" * 100_000, "{" * 5000, '{"a":' * 3000])
def test_an_answer_without_bottom_is_no_answer(text: str) -> None:
    assert "no JSON" in problem(text, {})


def test_a_long_answer_is_not_repaired() -> None:
    text = '{"a": "' + "x" * MAX_REPAIR_CHARACTERS
    assert problem(text, {}) == "it is no JSON, and too long to be repaired"
    assert len(read_answer(f'{text}"}}', {})["a"]) == MAX_REPAIR_CHARACTERS


def test_a_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "json_repair", None)
    with pytest.raises(MissingExtraError, match=r"json-repair: pip install 'invokeq\[worker\]'"):
        read_answer("{'a': 1}", {})
