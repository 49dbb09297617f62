"""The rules of Dify's model-selector: the models in a scope, and the value of a choice.

A scope is written with `&`: one type of model, or `all`, and required features, in any order:
`llm`, `tool-call&llm`, `all&vision`. A scope without a type is a scope of LLMs.
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
"""The entry of a provider of any model name."""

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
"""The types known to a scope; of several types in one scope, the first in this order counts."""


@dataclass(frozen=True, slots=True)
class Scope:
    """A parsed scope; a model must have all `features`."""

    text: str
    model_types: tuple[ModelType, ...]
    features: tuple[ModelFeature, ...]

    @classmethod
    def parse(cls, text: str | None) -> Self:
        """Parse a scope, `llm` by default; InvalidRequestError lists the known words."""
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
        """Return whether a model is inside the scope; an undeclared feature is missing."""
        has = facts.features or ()
        return facts.model_type in self.model_types and all(
            feature in has for feature in self.features
        )


def models_in_scope(
    scope: Scope, workers: tuple[LiveWorker, ...]
) -> list[tuple[str, AIModelEntity]]:
    """Return the models of live workers inside a scope as (provider, facts), in order of name.

    An entry `*` stands for a provider that takes more names than listed.
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
    """Return the value of a model-selector for `provider/model`, in Dify's form.

    `provider` may be a short name or a full id. Raises InvalidRequestError, which lists the models
    inside the scope, for a model outside of the scope, and NoWorkerError without a live worker.
    """
    return _select(scope, workers, list(_splits(name)), name, parameter)


def complete_selector(
    scope: Scope, workers: tuple[LiveWorker, ...], value: Mapping[str, Any], parameter: str
) -> dict[str, Any]:
    """Return a selector's value as written by the user, with missing keys filled in.

    Given keys stay, unknown keys included. The model must be inside the scope.
    """
    for key in ("provider", "model"):
        if not isinstance(value.get(key), str) or not value[key]:
            raise InvalidRequestError(
                field=f"{parameter}.{key}", problem="is missing: a model is named by both"
            )
    provider, model = value["provider"], value["model"]
    picked = _select(scope, workers, [(provider, model)], f"{provider}/{model}", parameter)
    written = {key: item for key, item in value.items() if item is not None}
    return {**picked, **written, "model_type": picked["model_type"]}


def _select(
    scope: Scope,
    workers: tuple[LiveWorker, ...],
    candidates: list[tuple[str, str]],
    name: str,
    parameter: str,
) -> dict[str, Any]:
    # Without this check every model would look unknown while workers are only starting.
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
    """Return the facts of a model from live workers, or None."""
    listed = list_models(workers)
    found = _find(listed, [(provider, model)])
    return None if found is None else found[1]


def selector_value(provider: str, facts: AIModelEntity) -> dict[str, Any]:
    """Return the value of a model-selector right after the user has picked a model."""
    value: dict[str, Any] = {
        "provider": provider,
        "model": facts.model,
        "model_type": facts.model_type.value,
    }
    properties = facts.model_properties
    if facts.model_type is ModelType.LLM:
        # Dify leaves None where a model declares no mode, and LLMModelConfig refuses None.
        value["mode"] = properties.get(ModelPropertyKey.MODE) or "chat"
        value["completion_params"] = {}
    voice = properties.get(ModelPropertyKey.DEFAULT_VOICE)
    if facts.model_type is ModelType.TTS and voice:
        value["voice"] = voice
    return value


def _find(
    listed: list[tuple[str, AIModelEntity]], candidates: list[tuple[str, str]]
) -> tuple[str, AIModelEntity] | None:
    """Return the first candidate that is listed or whose provider takes any name, or None."""
    for provider, model in candidates:
        known = {
            facts.model: facts for name, facts in listed if name == canonical_provider(provider)
        }
        if model in known:
            return provider, known[model]
        # The provider takes unlisted names; the vendor decides about this one.
        if ANY_MODEL in known:
            label = I18nObject(en_US=model)
            return provider, known[ANY_MODEL].model_copy(update={"model": model, "label": label})
    return None


def _splits(name: str) -> Iterable[tuple[str, str]]:
    """Yield (provider, model) for each slash: names of providers and models may have slashes."""
    for at, character in enumerate(name):
        if character == "/" and name[:at] and name[at + 1 :]:
            yield name[:at], name[at + 1 :]


def wildcard_entries(workers: tuple[LiveWorker, ...]) -> list[tuple[str, AIModelEntity]]:
    """Return an entry `*`, without any facts, for each provider of any model name."""
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
    return InvalidRequestError(field="scope", problem=f"has the unknown word {word!r}; {hint}")
