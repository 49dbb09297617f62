"""The rules of models and of their parameters."""

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from invokeq.protocol.entities import (
    AIModelEntity,
    DefaultParameterName,
    I18nObject,
    ModelPropertyKey,
    ParameterRule,
    ParameterType,
    ProviderModel,
    TextPromptMessageContent,
    UserPromptMessage,
)

RULE: dict[str, Any] = {"name": "seed", "type": "int"}
FACTS: dict[str, Any] = {"model": "m", "model_type": "llm", "model_properties": {}}


def wire(entity: BaseModel) -> dict[str, Any]:
    return entity.model_dump(mode="json")


TEMPLATES: list[tuple[str, str, Any, float | None, float | None, int | None, list[str]]] = [
    ("temperature", "float", 0.0, 0.0, 1.0, 2, []),
    ("top_p", "float", 1.0, 0.0, 1.0, 2, []),
    ("top_k", "int", 50, 1.0, 100.0, 0, []),
    ("presence_penalty", "float", 0.0, 0.0, 1.0, 2, []),
    ("frequency_penalty", "float", 0.0, 0.0, 1.0, 2, []),
    ("max_tokens", "int", 64, 1.0, 2048.0, 0, []),
    ("response_format", "string", None, None, None, None, ["JSON", "XML"]),
    ("json_schema", "text", None, None, None, None, []),
]


def test_every_template_name_has_a_template():
    assert [row[0] for row in TEMPLATES] == [name.value for name in DefaultParameterName]


@pytest.mark.parametrize(
    ("template", "type_", "default", "minimum", "maximum", "precision", "options"), TEMPLATES
)
def test_a_template_gives_a_whole_rule(
    template: str,
    type_: str,
    default: Any,
    minimum: float | None,
    maximum: float | None,
    precision: int | None,
    options: list[str],
):
    rule = ParameterRule.model_validate({"name": "mine", "use_template": template})
    assert rule.label.en_US == template.replace("_", " ").title().replace("Json", "JSON")
    assert rule.help is not None
    written = {key: value for key, value in wire(rule).items() if key not in ("label", "help")}
    assert written == {
        "name": "mine",
        "use_template": template,
        "type": type_,
        "required": False,
        "default": default,
        "min": minimum,
        "max": maximum,
        "precision": precision,
        "options": options,
    }
    assert ParameterRule.model_validate(wire(rule)) == rule


@pytest.mark.parametrize(
    ("given", "field", "kept"),
    [
        ({"max": 2}, "max", 2.0),
        ({"min": None}, "min", None),
        ({"type": "int"}, "type", ParameterType.INT),
        ({"default": 0.7}, "default", 0.7),
        ({"required": True}, "required", True),
        ({"help": None}, "help", None),
        ({"label": {"en_US": "Heat"}}, "label", I18nObject(en_US="Heat")),
        ({"label": None}, "label", I18nObject(en_US="mine")),
    ],
)
def test_what_a_rule_gives_wins_over_its_template(given: dict[str, Any], field: str, kept: Any):
    rule = ParameterRule.model_validate({"name": "mine", "use_template": "temperature", **given})
    assert getattr(rule, field) == kept


@pytest.mark.parametrize("template", ["no_such_template", None, "", 5, []])
def test_an_unknown_template_expands_to_nothing(template: Any):
    with pytest.raises(ValidationError) as refusal:
        ParameterRule.model_validate({"name": "mine", "use_template": template})
    assert ("type",) in {error["loc"] for error in refusal.value.errors()}


def test_a_rule_with_an_unknown_template_stands_by_itself():
    rule = ParameterRule.model_validate({**RULE, "use_template": "no_such_template"})
    assert (rule.use_template, rule.default) == ("no_such_template", None)


def test_a_rule_without_a_label_is_labelled_with_its_name():
    rule = ParameterRule.model_validate({**RULE, "min": 1, "label": {}})
    assert wire(rule) == {
        "name": "seed",
        "use_template": None,
        "label": I18nObject(en_US="seed").to_dict(),
        "type": "int",
        "help": None,
        "required": False,
        "default": None,
        "min": 1.0,
        "max": None,
        "precision": None,
        "options": [],
    }


@pytest.mark.parametrize(
    "given",
    [
        {"type": "int"},
        {"name": "seed"},
        {"name": 5, "type": "int"},
        {**RULE, "type": "integer"},
        {**RULE, "min": "low"},
        {**RULE, "precision": 1.5},
        {**RULE, "options": None},
        {**RULE, "options": [1]},
        {**RULE, "label": "Seed"},
        {**RULE, "required": None},
        "seed",
    ],
)
def test_a_rule_refuses(given: Any):
    with pytest.raises(ValidationError):
        ParameterRule.model_validate(given)


@pytest.mark.parametrize("label", [{}, {"label": None}, {"label": {}}])
def test_a_model_without_a_label_is_labelled_with_its_name(label: dict[str, Any]):
    given = {**FACTS, **label}
    before = dict(given)
    assert wire(AIModelEntity.model_validate(given)) == {
        "model": "m",
        "label": I18nObject(en_US="m").to_dict(),
        "model_type": "llm",
        "features": None,
        "fetch_from": "predefined-model",
        "model_properties": {},
        "deprecated": False,
        "parameter_rules": [],
        "pricing": None,
    }
    assert given == before


def test_a_model_with_all_its_facts():
    given: dict[str, Any] = {
        "model": "m",
        "label": I18nObject(en_US="Model M").to_dict(),
        "model_type": "llm",
        "features": ["vision", "polling"],
        "fetch_from": "customizable-model",
        "model_properties": {"mode": "chat", "context_size": 8192},
        "deprecated": True,
        "parameter_rules": [wire(ParameterRule.model_validate(RULE))],
        "pricing": {"input": "1.5", "output": "2", "unit": "0.000001", "currency": "USD"},
    }
    model = AIModelEntity.model_validate(given)
    assert model.model_properties[ModelPropertyKey.CONTEXT_SIZE] == 8192
    assert wire(model) == given


@pytest.mark.parametrize(
    "given",
    [
        {"model_type": "llm", "model_properties": {}},
        {"model": "m", "model_properties": {}},
        {"model": "m", "model_type": "llm"},
        {**FACTS, "model": 5},
        {**FACTS, "model_type": "chat"},
        {**FACTS, "features": ["telepathy"]},
        {**FACTS, "model_properties": {"colour": "red"}},
        {**FACTS, "fetch_from": "nowhere"},
    ],
)
@pytest.mark.parametrize("entity", [ProviderModel, AIModelEntity])
def test_a_model_refuses(entity: type[ProviderModel], given: dict[str, Any]):
    with pytest.raises(ValidationError):
        entity.model_validate(given)


@pytest.mark.parametrize(
    ("features", "supported"),
    [(None, False), ([], False), (["vision"], False), (["vision", "structured-output"], True)],
)
def test_structured_output_is_supported_where_the_features_say_so(
    features: list[str] | None, supported: bool
):
    model = AIModelEntity.model_validate({**FACTS, "features": features})
    assert model.support_structure_output is supported


def test_text_parts_are_told_from_file_parts():
    content = UserPromptMessage.model_validate({"content": [{"type": "text", "data": "a"}]}).content
    assert content == [TextPromptMessageContent(data="a")]
