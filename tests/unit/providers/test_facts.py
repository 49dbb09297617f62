"""Model facts: the shipped facts, and changes by an operator."""

from decimal import Decimal
from typing import Any

import pytest

from invokeq.protocol.entities import AIModelEntity, FetchFrom, ModelPropertyKey, ModelType
from invokeq.protocol.errors import InvalidConfigurationError
from invokeq_providers.models.facts import ModelFacts, shipped_facts

RULES = {"sampling": [{"name": "temperature", "use_template": "temperature", "max": 2.0}]}
_NEEDED: dict[ModelType, set[ModelPropertyKey]] = {
    ModelType.LLM: {ModelPropertyKey.MODE, ModelPropertyKey.CONTEXT_SIZE},
    ModelType.TEXT_EMBEDDING: {ModelPropertyKey.CONTEXT_SIZE, ModelPropertyKey.MAX_CHUNKS},
    ModelType.RERANK: {ModelPropertyKey.CONTEXT_SIZE},
    ModelType.TTS: {ModelPropertyKey.VOICES, ModelPropertyKey.AUDIO_TYPE},
    ModelType.SPEECH2TEXT: {ModelPropertyKey.FILE_UPLOAD_LIMIT},
    ModelType.MODERATION: {ModelPropertyKey.MAX_CHARACTERS_PER_CHUNK},
}
SHIPPED: dict[str, Any] = {
    "rules": RULES,
    "models": {
        "big": {
            "features": ["vision"],
            "model_properties": {"mode": "chat", "context_size": 100},
            "rules": ["sampling"],
            "pricing": {"input": "1", "output": "2", "unit": "0.001", "currency": "USD"},
        },
        "small": {"like": "big", "pricing": {"input": "0.5"}},
        "*": {"model_properties": {"mode": "chat"}, "features": ["tool-call"]},
    },
}


def build(models: dict[str, Any] | None = None, *, any_model: bool = False) -> ModelFacts:
    return ModelFacts("acme", SHIPPED, models or {}, any_model=any_model)


def find(facts: ModelFacts, model: str) -> AIModelEntity:
    entity = facts.find(ModelType.LLM, model)
    assert entity is not None
    return entity


@pytest.mark.parametrize(
    "type_name", ["anthropic", "cohere", "jina", "local", "openai", "scripted"]
)
def test_what_ships_is_valid(type_name: str) -> None:
    facts = ModelFacts(type_name, shipped_facts(type_name), {}, any_model=True)
    assert facts.models()
    for entity in facts.models():
        names = [rule.name for rule in entity.parameter_rules]
        assert len(names) == len(set(names))
        properties = entity.model_properties
        assert _NEEDED[entity.model_type] <= properties.keys()
        if entity.model_type is ModelType.LLM:
            assert properties[ModelPropertyKey.MODE] == "chat"
            assert any(rule.use_template == "max_tokens" for rule in entity.parameter_rules)


def test_a_type_without_a_file_ships_nothing() -> None:
    assert shipped_facts("no-such-type") == {}


def test_like_starts_from_another_model() -> None:
    small = find(build(), "small")
    assert small.pricing is not None
    assert small.pricing.input == Decimal("0.5")
    assert small.pricing.output == Decimal(2)
    assert small.model_properties[ModelPropertyKey.CONTEXT_SIZE] == 100
    assert small.label.en_us == "small"
    assert small.parameter_rules == find(build(), "big").parameter_rules


def test_an_operator_changes_a_shipped_model_field_by_field() -> None:
    rule = {"name": "temperature", "max": 1.5}
    changed = {"model_properties": {"context_size": 7}, "parameter_rules": [rule]}
    big = find(build({"big": changed}), "big")
    assert big.model_properties == {ModelPropertyKey.MODE: "chat", ModelPropertyKey.CONTEXT_SIZE: 7}
    assert [(r.name, r.max, r.precision) for r in big.parameter_rules] == [("temperature", 1.5, 2)]
    assert big.pricing is not None


def test_what_an_operator_changes_is_inherited_too() -> None:
    small = find(build({"big": {"features": ["audio"]}}), "small")
    assert [feature.value for feature in small.features or ()] == ["audio"]


def test_an_operator_adds_a_model() -> None:
    added = {"model_properties": {"mode": "completion"}, "rules": ["sampling"]}
    facts = build({"mine": added, "copy": {"like": "mine"}})
    assert [entity.model for entity in facts.models()] == ["big", "small", "mine", "copy"]
    assert find(facts, "copy").model_properties == {ModelPropertyKey.MODE: "completion"}


def test_shipped_facts_are_not_changed_by_an_operator() -> None:
    build({"big": {"features": []}})
    assert find(build(), "big").features != []


def test_any_model_takes_the_facts_of_the_star() -> None:
    entity = find(build(any_model=True), "whatever")
    assert entity.model == entity.label.en_us == "whatever"
    assert entity.fetch_from is FetchFrom.CUSTOMIZABLE_MODEL
    assert [feature.value for feature in entity.features or ()] == ["tool-call"]


def test_the_star_is_no_model() -> None:
    assert "*" not in [entity.model for entity in build(any_model=True).models()]
    assert build().find(ModelType.LLM, "*") is None
    assert build().find(ModelType.LLM, "whatever") is None


def test_the_model_type_counts() -> None:
    assert build(any_model=True).find(ModelType.TTS, "big") is None


@pytest.mark.parametrize(
    ("models", "setting", "problem"),
    [
        ({"x": {"like": "nobody"}}, 'models."x".like', "nobody"),
        ({"x": {"like": "y"}, "y": {"like": "x"}}, 'models."y".like', "'x'"),
        ({"x": {"rules": ["nothing"]}}, 'models."x".rules', "sampling"),
        ({"x": {"featuers": []}}, 'models."x".featuers', "features"),
        ({"x": {"features": ["fly"]}}, 'models."x".features.0', "tool-call"),
        ({"x": {"parameter_rules": [{"max": 1}]}}, 'models."x".parameter_rules', "name"),
        (
            {"x": {"parameter_rules": [{"name": "n", "type": "int", "maximum": 1}]}},
            'models."x".parameter_rules.n.maximum',
            "max",
        ),
        ({"x": {"pricing": {"input": "1"}}}, 'models."x".pricing.unit', "required"),
    ],
)
def test_a_mistake_is_named(models: dict[str, Any], setting: str, problem: str) -> None:
    with pytest.raises(InvalidConfigurationError) as caught:
        build(models)
    assert caught.value.setting == f"providers.acme.{setting}"
    assert problem in str(caught.value)
