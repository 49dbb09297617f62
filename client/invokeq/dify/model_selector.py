"""Which models a model-selector offers, and the value that it holds once one is picked.

A scope is written with `&`: one type of model, or `all`, and features that the model must have, in
any order: `llm`, `tool-call&llm`, `all&vision`. Without a type it is one of LLMs.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final, Self

from invokeq.operations.directory import NOBODY, LiveWorker, list_models
from invokeq.protocol.entities import (
    AIModelEntity,
    I18nObject,
    ModelFeature,
    ModelPropertyKey,
    ModelType,
)
from invokeq.protocol.errors import InvalidRequestError, NoWorkerError
from invokeq.protocol.names import canonical_provider

ANY_MODEL: Final = "*"
"""Stands for the names of a provider that takes any."""

ALL: Final = "all"

SEPARATOR: Final = "&"

OFFERED: Final = (
    ModelType.LLM,
    ModelType.TEXT_EMBEDDING,
    ModelType.RERANK,
    ModelType.MODERATION,
    ModelType.SPEECH2TEXT,
    ModelType.TTS,
)
"""The types that a scope may name; of several that it names, the first in this order counts."""


@dataclass(frozen=True, slots=True)
class Scope:
    """A parsed scope; `features` are all asked for."""

    text: str
    model_types: tuple[ModelType, ...]
    features: tuple[ModelFeature, ...]

    @classmethod
    def parse(cls, text: str | None) -> Self:
        """Read a scope; without one it is `llm`. InvalidRequestError lists the words there are."""
        shown = text or ModelType.LLM.value
        words = [word.strip() for word in shown.split(SEPARATOR)]
        types = {kind.value: kind for kind in OFFERED}
        features = {feature.value: feature for feature in ModelFeature}
        for word in words:
            if word not in (ALL, *types, *features):
                raise _unknown_word(word, [ALL, *types, *features])
        named = [kind for kind in OFFERED if kind.value in words]
        offered = OFFERED if ALL in words else tuple(named[:1]) or (ModelType.LLM,)
        wanted = dict.fromkeys(features[word] for word in words if word in features)
        return cls(shown, offered, tuple(wanted))

    def admits(self, facts: AIModelEntity) -> bool:
        """Tell whether a model is inside; what is not known of it, it does not have."""
        has = facts.features or ()
        return facts.model_type in self.model_types and all(
            feature in has for feature in self.features
        )


def models_in_scope(
    scope: Scope, workers: tuple[LiveWorker, ...]
) -> list[tuple[str, AIModelEntity]]:
    """List what live workers serve inside a scope as (provider, facts), in order of name.

    An entry called `*` stands for a provider that takes names beyond those listed.
    """
    found = [*list_models(workers), *wildcard_entries(workers)]
    inside = {
        (provider, facts.model_type.value, facts.model): facts
        for provider, facts in found
        if scope.admits(facts)
    }
    return [(key[0], inside[key]) for key in sorted(inside)]


def select_model(
    scope: Scope, workers: tuple[LiveWorker, ...], name: str, parameter: str
) -> dict[str, Any]:
    """Give the value of a model-selector for `provider/model`, as Dify's would be.

    `provider` may be a short name or a full id. Raises InvalidRequestError, which lists the models
    inside the scope, for any other; NoWorkerError if nobody serves any.
    """
    return _select(scope, workers, list(_splits(name)), name, parameter)


def complete_selector(
    scope: Scope, workers: tuple[LiveWorker, ...], value: Mapping[str, Any], parameter: str
) -> dict[str, Any]:
    """Give a selector's value that was written out, with what was left out of it.

    What it says stays, keys that nobody knows too, but the model must be inside the scope.
    """
    for key in ("provider", "model"):
        if not isinstance(value.get(key), str) or not value[key]:
            raise InvalidRequestError(
                field=f"{parameter}.{key}", problem="is missing: a model is named by both"
            )
    provider, model = value["provider"], value["model"]
    picked = _select(scope, workers, [(provider, model)], f"{provider}/{model}", parameter)
    said = {key: item for key, item in value.items() if item is not None}
    return {**picked, **said, "model_type": picked["model_type"]}


def _select(
    scope: Scope,
    workers: tuple[LiveWorker, ...],
    candidates: list[tuple[str, str]],
    name: str,
    parameter: str,
) -> dict[str, Any]:
    if not workers:
        raise NoWorkerError(provider="(any)", model_type=scope.text, problem=NOBODY)
    inside = models_in_scope(scope, workers)
    if found := _find(inside, candidates):
        return selector_value(*found)
    served = _find(models_in_scope(Scope.parse(ALL), workers), candidates)
    why = f"is outside the scope {scope.text}" if served else "is served by no live worker"
    names = ", ".join(f"{provider}/{facts.model}" for provider, facts in inside) or "none"
    raise InvalidRequestError(
        field=parameter, problem=f"{name!r} {why}; models of scope {scope.text}: {names}"
    )


def find_facts(workers: tuple[LiveWorker, ...], provider: str, model: str) -> AIModelEntity | None:
    """Give what live workers say of a model, or None if nobody lists it."""
    listed = list_models(workers)
    found = _find(listed, [(provider, model)])
    return None if found is None else found[1]


def selector_value(provider: str, facts: AIModelEntity) -> dict[str, Any]:
    """Give what a model-selector holds right after the user has picked a model."""
    value: dict[str, Any] = {
        "provider": provider,
        "model": facts.model,
        "model_type": facts.model_type.value,
    }
    properties = facts.model_properties
    if facts.model_type is ModelType.LLM:
        # Dify leaves None where a model declares no mode, at which LLMModelConfig breaks.
        value["mode"] = properties.get(ModelPropertyKey.MODE) or "chat"
        value["completion_params"] = {}
    voice = properties.get(ModelPropertyKey.DEFAULT_VOICE)
    if facts.model_type is ModelType.TTS and voice:
        value["voice"] = voice
    return value


def _find(
    listed: list[tuple[str, AIModelEntity]], candidates: list[tuple[str, str]]
) -> tuple[str, AIModelEntity] | None:
    """Find the first candidate that is listed, or that its provider would take unlisted."""
    for provider, model in candidates:
        known = {
            facts.model: facts for name, facts in listed if name == canonical_provider(provider)
        }
        if model in known:
            return provider, known[model]
        if ANY_MODEL in known:
            label = I18nObject(en_US=model)
            return provider, known[ANY_MODEL].model_copy(update={"model": model, "label": label})
    return None


def _splits(name: str) -> Iterable[tuple[str, str]]:
    """Part a name at each slash: both providers and models may have slashes in their names."""
    for at, character in enumerate(name):
        if character == "/" and name[:at] and name[at + 1 :]:
            yield name[:at], name[at + 1 :]


def wildcard_entries(workers: tuple[LiveWorker, ...]) -> list[tuple[str, AIModelEntity]]:
    """List the providers that take any name, each with an entry called `*` of which nothing is
    known."""
    label = I18nObject(en_US="Any model")
    kinds = {
        (name, kind)
        for worker in workers
        for name, provider in worker.providers.items()
        for kind in provider.model_types
        if provider.any_model
    }
    return [
        (name, AIModelEntity(model=ANY_MODEL, model_type=kind, label=label, model_properties={}))
        for name, kind in kinds
    ]


def _unknown_word(word: str, known: list[str]) -> InvalidRequestError:
    close = get_close_matches(word, known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"there are: {', '.join(known)}"
    return InvalidRequestError(field="scope", problem=f"knows no {word!r}; {hint}")
