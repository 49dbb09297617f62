"""The facts of models as data: features, context size, parameter rules, prices.

Each provider type ships `facts/<type>.toml`. The operator's tables `[providers.<name>.models]` are
merged over the shipped file. Both have the same shape: one table a model, with the fields of
`AIModelEntity` (the key is the model's name, `model_type` is `llm` by default) and two shortcuts:

* `like` names another model of the same list, and starts from the facts of the other model;
* `rules` names lists of parameter rules, in order, from the `[rules]` of the shipped file.

Parameter rules are merged by name, nested tables key by key; other values are replaced. The entry
`*` holds the facts of every unlisted LLM. `*:tts` holds the facts of unlisted models for speech,
and so on: the part behind the colon is for people, `model_type` decides.
"""

import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Final, cast

from pydantic import ValidationError

from invokeq.protocol.entities import (
    AIModelEntity,
    FetchFrom,
    I18nObject,
    ModelType,
    ParameterRule,
)
from invokeq.protocol.errors import InvalidConfigurationError
from invokeq_providers.options import CONFIG_SOURCE, configuration_error

ANY_MODEL: Final = "*"

_SHORTCUTS: Final = frozenset({"like", "rules"})
_MODEL_KEYS: Final = frozenset(AIModelEntity.model_fields) - {"model"}
_RULE_KEYS: Final = frozenset(ParameterRule.model_fields)

Table = Mapping[str, Any]


@cache
def shipped_facts(type_name: str) -> Table:
    """Return the facts file of a provider type, empty for a type without facts."""
    file = files("invokeq_providers").joinpath("facts", f"{type_name}.toml")
    return tomllib.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


class ModelFacts:
    """The models of one configured provider.

    `any_model` accepts unlisted names, with the facts of `*`. Raises `InvalidConfigurationError`
    naming the setting.
    """

    def __init__(
        self, provider: str, shipped: Table, models: Mapping[str, Table], *, any_model: bool = False
    ) -> None:
        builder = _Builder(provider, shipped, models)
        entities = [builder.entity(name) for name in builder.names]
        listed = [entity for entity in entities if not _stands_for_any(entity)]
        self._models = listed
        self._by_name = {(entity.model_type, entity.model): entity for entity in listed}
        self._fallbacks = (
            {entity.model_type: entity for entity in entities if _stands_for_any(entity)}
            if any_model
            else {}
        )

    def models(self) -> Sequence[AIModelEntity]:
        """Return the models known by name."""
        return self._models

    def find(self, model_type: ModelType, model: str) -> AIModelEntity | None:
        """Return the facts of one model, or None for an unknown model."""
        entity = self._by_name.get((model_type, model))
        if entity is not None:
            return entity
        fallback = self._fallbacks.get(model_type)
        if fallback is None:
            return None
        own = {"model": model, "label": I18nObject.model_validate({"en_US": model})}
        return fallback.model_copy(update={**own, "fetch_from": FetchFrom.CUSTOMIZABLE_MODEL})


class _Builder:
    """Builder of entities from tables with shortcuts."""

    def __init__(self, provider: str, shipped: Table, models: Mapping[str, Table]) -> None:
        self._provider = provider
        self._rules: Table = shipped.get("rules", {})
        self._shipped: Mapping[str, Table] = shipped.get("models", {})
        self._models = models
        self.names = list(dict.fromkeys([*self._shipped, *models]))

    def entity(self, name: str) -> AIModelEntity:
        """Build the facts of one model, or raise `InvalidConfigurationError` naming the field."""
        table = self._resolve(name, ())
        rules = list(cast(Mapping[str, Any], table.pop("parameter_rules", {})).values())
        fields: dict[str, Any] = {"model_type": ModelType.LLM, "model_properties": {}, **table}
        try:
            return AIModelEntity.model_validate({**fields, "model": name, "parameter_rules": rules})
        except ValidationError as error:
            raise configuration_error(self._setting(name), error, AIModelEntity) from None

    def _resolve(self, name: str, seen: tuple[str, ...]) -> dict[str, Any]:
        """Return the fields of a model without shortcuts, parameter rules as a dict by name."""
        # The first name comes from `names`, so only a name behind `like` fails: `seen` has one.
        if name in seen or name not in self.names:
            raise self._error(seen[-1], "like", f"there is no other model {name!r} to be like")
        table: dict[str, Any] = {}
        for layer in (self._shipped.get(name), self._models.get(name)):
            if layer is None:
                continue
            if "like" in layer:
                table = _merge(table, self._resolve(str(layer["like"]), (*seen, name)))
                # A label is the name of the other model; the entity derives a label of its own.
                table.pop("label", None)
            table = _merge(table, self._expand(name, layer))
        return table

    def _expand(self, name: str, layer: Table) -> dict[str, Any]:
        rules: dict[str, Any] = {}
        for group in layer.get("rules", ()):
            if group not in self._rules:
                known = ", ".join(self._rules) or "none"
                raise self._error(name, "rules", f"no list of rules {group!r}; there are: {known}")
            rules = _merge(rules, {rule["name"]: rule for rule in self._rules[group]})
        for rule in layer.get("parameter_rules", ()):
            if not isinstance(rule, Mapping) or "name" not in rule:
                raise self._error(name, "parameter_rules", "every rule needs a name")
            rule = cast(Table, rule)
            self._check_keys(name, f"parameter_rules.{rule['name']}", rule, _RULE_KEYS)
            rules = _merge(rules, {str(rule["name"]): rule})
        self._check_keys(name, "", layer, _MODEL_KEYS | _SHORTCUTS)
        fields = {key: value for key, value in layer.items() if key not in _SHORTCUTS}
        return {**fields, "parameter_rules": rules}

    def _check_keys(self, name: str, where: str, table: Table, known: frozenset[str]) -> None:
        """Raise `InvalidConfigurationError` for unknown keys; the entities would ignore typos."""
        for key in sorted(table.keys() - known):
            problem = f"no such field; there are: {', '.join(sorted(known))}"
            raise self._error(name, f"{where}.{key}".lstrip("."), problem)

    def _setting(self, name: str) -> str:
        return f'providers.{self._provider}.models."{name}"'

    def _error(self, name: str, key: str, problem: str) -> InvalidConfigurationError:
        return InvalidConfigurationError(
            source=CONFIG_SOURCE, setting=f"{self._setting(name)}.{key}", problem=problem
        )


def _stands_for_any(entity: AIModelEntity) -> bool:
    return entity.model.partition(":")[0] == ANY_MODEL


def _merge(under: Table, over: Table) -> dict[str, Any]:
    merged = dict(under)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            merged[key] = _merge(cast(Table, below), cast(Table, value))
        else:
            merged[key] = value
    return merged
