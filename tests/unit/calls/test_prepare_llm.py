"""The facts of a model decide about requests."""

from typing import Any

import pytest

from invokeq.protocol.entities import AIModelEntity
from invokeq.protocol.errors import (
    InvalidParameterError,
    InvalidRequestError,
    ModelNotFoundError,
)
from invokeq.protocol.requests import LLMRequest
from invokeq_providers import Provider, prepare_llm
from invokeq_providers.calls.llm import check_parameters

IMAGE: dict[str, Any] = {
    "type": "image",
    "format": "png",
    "mime_type": "image/png",
    "base64_data": "AA==",
}
TOOL = {"name": "search", "description": "Searches.", "parameters": {"type": "object"}}


class Known(Provider):
    """A provider of models with different features."""

    def models(self) -> list[AIModelEntity]:
        return [
            facts([], model="plain"),
            facts([], model="tools", features=["multi-tool-call"]),
            facts([], model="eyes", features=["vision"]),
            facts([{"name": "n", "type": "int", "max": 5}], model="ruled"),
        ]


PROVIDER = Known("acme", {})


def facts(rules: list[dict[str, Any]], **fields: Any) -> AIModelEntity:
    given: dict[str, Any] = {"model": "m", "model_type": "llm", "model_properties": {}, **fields}
    return AIModelEntity.model_validate({**given, "parameter_rules": rules})


def request(model: str = "plain", **fields: Any) -> LLMRequest:
    given = {"provider": "acme", "model": model, "prompt_messages": [{"role": "user"}], **fields}
    return LLMRequest.model_validate(given)


def accept(rule: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    return check_parameters(given, facts([rule]), "acme")[0]


def refuse(rule: dict[str, Any], value: Any) -> str:
    """Return the text of the error for a refused value."""
    with pytest.raises(InvalidParameterError) as caught:
        check_parameters({rule["name"]: value}, facts([rule]), "acme")
    assert caught.value.parameter == rule["name"]
    assert caught.value.provider == "acme"
    assert caught.value.model == "m"
    return str(caught.value)


INT = {"name": "n", "type": "int", "min": 1, "max": 1_047_576}
FLOAT = {"name": "x", "type": "float", "min": -2, "max": 2, "precision": 2}


def test_unknown_parameters_are_dropped_and_named() -> None:
    rules = [{"name": "b", "type": "int"}, {"name": "a", "type": "int"}]
    given = {"z": 1, "a": 1, "b": 2, "y": None}
    assert check_parameters(given, facts(rules), "acme") == ({"b": 2, "a": 1}, ["z"])


def test_parameters_come_in_the_order_of_the_rules() -> None:
    rules = [{"name": "b", "type": "int"}, {"name": "a", "type": "int"}]
    assert list(check_parameters({"a": 1, "b": 2}, facts(rules), "acme")[0]) == ["b", "a"]


def test_a_value_may_be_given_under_the_name_of_the_template() -> None:
    rule = {"name": "max_output_tokens", "use_template": "max_tokens", "max": 99}
    assert accept(rule, {"max_tokens": 7}) == {"max_output_tokens": 7}
    assert accept(rule, {"max_output_tokens": 5, "max_tokens": 7}) == {"max_output_tokens": 5}
    assert check_parameters({"max_tokens": 7}, facts([rule]), "acme")[1] == []


def test_defaults_stand_in_only_for_what_is_required() -> None:
    assert accept({"name": "n", "type": "int", "default": 3}, {}) == {}
    assert accept({"name": "n", "type": "int", "default": 3, "required": True}, {}) == {"n": 3}
    assert accept({"name": "b", "type": "boolean", "default": False, "required": True}, {}) == {
        "b": False
    }


def test_what_is_required_and_has_no_default_must_be_given() -> None:
    assert refuse({"name": "n", "type": "int", "required": True}, None).endswith("is required")


@pytest.mark.parametrize(
    ("rule", "given", "taken"),
    [
        (INT, 5, 5),
        (INT, 4096.0, 4096),
        (INT, 1, 1),
        (INT, 1_047_576, 1_047_576),
        (FLOAT, 1, 1),
        (FLOAT, 1.0, 1),
        (FLOAT, 0.25, 0.25),
        (FLOAT, -2.0, -2),
        ({"name": "b", "type": "boolean"}, False, False),
        ({"name": "s", "type": "string"}, "", ""),
        ({"name": "s", "type": "string", "options": ["a", "b"]}, "b", "b"),
        ({"name": "t", "type": "text", "options": ["a"]}, "free", "free"),
        ({"name": "i", "type": "int"}, 10**400, 10**400),
    ],
)
def test_what_obeys_the_rule_is_taken(rule: dict[str, Any], given: Any, taken: Any) -> None:
    value = accept(rule, {rule["name"]: given})[rule["name"]]
    assert value == taken
    assert type(value) is type(taken)


@pytest.mark.parametrize(
    ("rule", "value", "problem"),
    [
        (INT, 0, "must be at least 1, not 0"),
        (INT, 2_000_000, "must be at most 1047576, not 2000000"),
        (INT, 1.5, "must be an integer, not 1.5"),
        (INT, True, "must be an integer, not True"),
        (INT, "5", "must be an integer, not '5'"),
        (FLOAT, 2.01, "must be at most 2, not 2.01"),
        (FLOAT, 0.123, "must be a number with at most 2 decimal places, not 0.123"),
        (FLOAT, float("nan"), "must be a number, not nan"),
        (FLOAT, float("inf"), "must be a number, not inf"),
        (FLOAT, False, "must be a number, not False"),
        ({"name": "x", "type": "float", "precision": 0}, 1.5, "at most 0 decimal places"),
        ({"name": "b", "type": "boolean"}, 1, "must be true or false, not 1"),
        ({"name": "s", "type": "string"}, 1, "must be a string, not 1"),
        (
            {"name": "s", "type": "string", "options": ["a", "b"]},
            "c",
            "must be one of a, b, not 'c'",
        ),
        ({"name": "t", "type": "text"}, ["x"], "must be a string, not ['x']"),
        ({"name": "t", "type": "text"}, ["x" * 99], "xxx..."),
    ],
)
def test_what_breaks_the_rule_is_refused(rule: dict[str, Any], value: Any, problem: str) -> None:
    sentence = refuse(rule, value)
    assert sentence.startswith(f"Model parameter {rule['name']} of acme/m must be")
    assert problem in sentence


def test_the_call_holds_what_the_provider_needs() -> None:
    asked = request("ruled", completion_params={"n": 3, "other": 1}, stop=["x"], stream=False)
    call = prepare_llm(asked, PROVIDER, request_id="1f", user="u")
    assert (call.request_id, call.user, call.model) == ("1f", "u", "ruled")
    assert call.parameters == {"n": 3}
    assert call.ignored_parameters == ["other"]
    assert list(call.stop) == ["x"]
    assert not call.stream
    assert call.facts.model == "ruled"
    assert call.prompt_messages == asked.prompt_messages


def test_an_unknown_model_lists_the_known() -> None:
    with pytest.raises(ModelNotFoundError, match="it has: plain, tools, eyes, ruled"):
        prepare_llm(request("nothing"), PROVIDER)


def test_a_violation_names_the_parameter_of_the_model() -> None:
    with pytest.raises(InvalidParameterError, match="Model parameter n of acme/ruled must be"):
        prepare_llm(request("ruled", completion_params={"n": 6}), PROVIDER)


def test_tools_take_no_effect_without_the_feature() -> None:
    assert list(prepare_llm(request("plain", tools=[TOOL]), PROVIDER).tools) == []
    assert len(prepare_llm(request("tools", tools=[TOOL]), PROVIDER).tools) == 1
    assert list(prepare_llm(request("tools", tools=None), PROVIDER).tools) == []


@pytest.mark.parametrize("feature", ["tool-call", "multi-tool-call", "stream-tool-call"])
def test_any_of_the_tool_features_is_enough(feature: str) -> None:
    class One(Provider):
        def models(self) -> list[AIModelEntity]:
            return [facts([], features=[feature])]

    assert prepare_llm(request("m", tools=[TOOL]), One("acme", {})).tools


def test_a_part_that_the_model_cannot_take_is_named() -> None:
    messages = [
        {"role": "system", "content": "s"},
        {"role": "user", "content": [{"type": "text", "data": "t"}, IMAGE]},
    ]
    with pytest.raises(InvalidRequestError, match=r"acme/plain takes no image .*vision") as caught:
        prepare_llm(request("plain", prompt_messages=messages), PROVIDER)
    assert caught.value.field == "prompt_messages[1].content[1]"
    assert prepare_llm(request("eyes", prompt_messages=messages), PROVIDER).prompt_messages


@pytest.mark.parametrize(
    ("kind", "feature"),
    [("image", "vision"), ("audio", "audio"), ("video", "video"), ("document", "document")],
)
def test_every_kind_of_part_has_its_feature(kind: str, feature: str) -> None:
    class One(Provider):
        def models(self) -> list[AIModelEntity]:
            return [facts([], model="has", features=[feature]), facts([], model="lacks")]

    messages = [{"role": "user", "content": [{**IMAGE, "type": kind}]}]
    assert prepare_llm(request("has", prompt_messages=messages), One("acme", {}))
    with pytest.raises(InvalidRequestError, match=feature):
        prepare_llm(request("lacks", prompt_messages=messages), One("acme", {}))
