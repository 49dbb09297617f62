"""Values of a tool's parameters: read by type, refused with a line that names the parameter."""

from collections.abc import Sequence
from typing import Any

import pytest

from invokeq.dify.platform.declarations import Parameter
from invokeq.dify.platform.files import FILE_IDENTITY
from invokeq.dify.platform.parameters import ValueContext, read_parameters
from invokeq.protocol.errors import InvalidRequestError
from tests.unit.dify.test_model_selector import SERVED


def no_file(place: str) -> dict[str, Any]:
    if place == "nowhere":
        raise FileNotFoundError(place)
    return {"url": place}


def named_tools(wanted: Sequence[Any] | None) -> list[dict[str, Any]]:
    return [{"named": item} for item in wanted or ()]


AROUND = ValueContext(SERVED, no_file, named_tools)


def parameter(kind: str, **fields: Any) -> Parameter:
    return Parameter.model_validate({"name": "x", "type": kind, **fields})


def read(value: Any, kind: str, **fields: Any) -> Any:
    return read_parameters([parameter(kind, **fields)], {"x": value}, AROUND)["x"]


OPTIONS = [{"value": "a"}, {"value": True}, {"value": 3}]


@pytest.mark.parametrize(
    ("kind", "value", "wanted"),
    [
        ("string", "5", "5"),
        ("string", 5, "5"),
        ("string", "", ""),
        ("secret-input", "s", "s"),
        ("text-input", "t", "t"),
        ("dynamic-select", "d", "d"),
        ("date", "2026-11-22", "2026-11-22"),
        ("number", "5", 5),
        ("number", " 0.5 ", 0.5),
        ("number", 7, 7),
        ("boolean", "true", True),
        ("boolean", "No", False),
        ("boolean", 1, True),
        ("boolean", False, False),
        ("checkbox", "on", True),
        ("select", "a", "a"),
        ("select", "true", "true"),
        ("select", 3, "3"),
        ("file", "here", {"url": "here"}),
        ("file", {"url": "u"}, {"dify_model_identity": FILE_IDENTITY, "url": "u"}),
        ("files", "a, b", [{"url": "a"}, {"url": "b"}]),
        ("files", '["a,b"]', [{"url": "a,b"}]),
        ("array[tools]", "t1,t2", [{"named": "t1"}, {"named": "t2"}]),
        ("any", '{"a": 1}', {"a": 1}),
        ("any", "plain", "plain"),
        ("object", '{"a": 1}', {"a": 1}),
        ("array", "[1]", [1]),
        ("date-range", '["2026-01-01", "2026-02-01"]', ["2026-01-01", "2026-02-01"]),
    ],
)
def test_a_value_is_read_by_its_type(kind: str, value: Any, wanted: Any) -> None:
    got = read(value, kind, options=OPTIONS)
    assert got == wanted
    assert type(got) is type(wanted)


@pytest.mark.parametrize(
    ("kind", "value", "problem"),
    [
        ("string", ["a"], "must be a text, not ['a']"),
        ("string", True, "must be a text, not True"),
        ("number", "five", "must be a number, not 'five'"),
        ("number", "nan", "must be a number, not 'nan'"),
        ("number", True, "must be a number, not True"),
        ("boolean", "maybe", "must be true or false, not 'maybe'"),
        ("boolean", [], "must be true or false, not []"),
        ("select", "b", "must be one of a, true, 3, not 'b'"),
        ("select", ["a"], "must be one of a, true, 3, not ['a']"),
        ("file", "nowhere", "names no file: 'nowhere'"),
        ("file", 5, "must be a path or an address, not 5"),
        ("object", "[1]", "must be a JSON object, not [1]"),
        ("array", "{}", "must be a JSON list, not {}"),
        ("object", "{", "must be JSON: "),
        ("app-selector", "a", "selects an app of Dify, and invokeq serves no apps"),
        ("model-selector", 5, "must be PROVIDER/MODEL or a selector's object, not 5"),
        ("model-selector", "openai/tts-1", "'openai/tts-1' is outside the scope llm; "),
    ],
)
def test_a_value_that_does_not_fit_is_refused_by_name(kind: str, value: Any, problem: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        read(value, kind, options=OPTIONS)
    assert str(caught.value).startswith(f"parameter x: {problem}")


@pytest.mark.parametrize(
    ("value", "problem"),
    [(0, "must be at least 1, not 0"), ("5.5", "must be at most 5, not 5.5")],
)
def test_numbers_have_bounds(value: Any, problem: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        read(value, "number", min=1, max=5)
    assert str(caught.value) == f"parameter x: {problem}"


def test_a_select_of_several_takes_a_list() -> None:
    assert read(["a", 3], "select", multiple=True, options=OPTIONS) == ["a", "3"]
    assert read("a, true", "select", multiple=True, options=OPTIONS) == ["a", "true"]
    with pytest.raises(InvalidRequestError, match="must be one of a, true, 3, not 'b'"):
        read(["a", "b"], "select", multiple=True, options=OPTIONS)


def test_defaults_stand_in_and_what_is_optional_is_left_out() -> None:
    declared = [
        parameter("number", name="count", default="3"),
        parameter("string", name="empty", default=""),
        parameter("select", name="unset", default="", options=OPTIONS),
        parameter("string", name="free"),
        parameter("array[tools]", name="tools", required=True),
    ]
    given = {"free": None}
    assert read_parameters(declared, given, AROUND) == {
        "count": 3,
        "empty": "",
        "tools": [{"named": "*"}],
    }


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"type": "string", "label": {"en_US": "Name"}}, "is required: Name"),
        (
            {"type": "string", "human_description": {"en_US": "Who it is for"}},
            "is required: Who it is for",
        ),
        ({"type": "select", "options": OPTIONS}, "is required: one of a, true, 3"),
        (
            {"type": "model-selector", "scope": "tts"},
            "is required: PROVIDER/MODEL within the scope tts",
        ),
    ],
)
def test_what_is_required_is_said_with_what_it_takes(fields: dict[str, Any], line: str) -> None:
    declared = Parameter.model_validate({"name": "x", "required": True, **fields})
    with pytest.raises(InvalidRequestError) as caught:
        read_parameters([declared], {}, AROUND)
    assert str(caught.value) == f"parameter x: {line}"


def test_a_name_that_is_not_declared_is_refused_with_the_one_that_is_meant() -> None:
    declared = [parameter("string", name="query"), parameter("string", name="unit")]
    with pytest.raises(InvalidRequestError) as caught:
        read_parameters(declared, {"qeury": "a"}, AROUND)
    assert str(caught.value) == "parameter qeury: is not declared; did you mean query?"
    with pytest.raises(InvalidRequestError) as caught:
        read_parameters(declared, {"zzz": "a"}, AROUND)
    assert str(caught.value) == "parameter zzz: is not declared; there are: query, unit"
    assert read_parameters(declared, {"zzz": [1]}, AROUND, strict=False) == {"zzz": [1]}


def test_settings_of_a_model_go_with_its_selector() -> None:
    declared = [parameter("model-selector", name="model"), parameter("string", name="a.b")]
    given = {
        "model": '{"provider": "openai", "model": "gpt-4o", "completion_params": {"top_p": 1}}',
        "model.temperature": 0.2,
        "a.b": "c",
    }
    values = read_parameters(declared, given, AROUND)
    assert values["model"]["completion_params"] == {"top_p": 1, "temperature": 0.2}
    assert values["model"]["mode"] == "chat"
    assert values["a.b"] == "c"
