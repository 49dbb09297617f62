"""The choices of a model-selector, and the value after a choice."""

from typing import Any

import pytest

from invokeq.dify.model_selector import (
    Scope,
    complete_selector,
    find_facts,
    models_in_scope,
    select_model,
)
from invokeq.operations.directory import LiveWorker
from invokeq.protocol.directory import ProviderEntry, WorkerEntry
from invokeq.protocol.entities import AIModelEntity, ModelFeature, ModelType
from invokeq.protocol.errors import InvalidRequestError, NoWorkerError


def facts(model: str, kind: str = "llm", *features: str, **properties: Any) -> AIModelEntity:
    return AIModelEntity.model_validate(
        {
            "model": model,
            "model_type": kind,
            "features": list(features) or None,
            "model_properties": properties,
        }
    )


def workers(*providers: ProviderEntry) -> tuple[LiveWorker, ...]:
    entry = WorkerEntry(
        name="w", pool="p", queues=["llm"], catalog="c", host="h", pid=1, concurrency=1
    )
    return (LiveWorker(entry, {provider.name: provider for provider in providers}),)


SERVED = workers(
    ProviderEntry(
        name="openai",
        model_types=[ModelType.LLM, ModelType.TTS],
        models=[
            facts("gpt-4o", "llm", "tool-call", "vision", mode="chat"),
            facts("gpt-3.5", "llm", "tool-call"),
            facts("babbage", "llm", mode="completion"),
            facts("tts-1", "tts", default_voice="alloy"),
            facts("embed", "text-embedding", "vision"),
        ],
    ),
    ProviderEntry(name="vllm", any_model=True, model_types=[ModelType.LLM]),
    ProviderEntry(name="acme/plug/in", models=[facts("org/m:1", "rerank")]),
)


def names(scope: str | None) -> list[str]:
    inside = models_in_scope(Scope.parse(scope), SERVED)
    return [f"{provider}/{model.model}" for provider, model in inside]


@pytest.mark.parametrize(
    ("scope", "inside"),
    [
        ("llm", ["openai/babbage", "openai/gpt-3.5", "openai/gpt-4o", "vllm/*"]),
        (None, ["openai/babbage", "openai/gpt-3.5", "openai/gpt-4o", "vllm/*"]),
        ("tool-call&llm", ["openai/gpt-3.5", "openai/gpt-4o"]),
        ("tool-call & llm & vision", ["openai/gpt-4o"]),
        ("vision", ["openai/gpt-4o"]),
        ("text-embedding&vision", ["openai/embed"]),
        ("all&vision", ["openai/gpt-4o", "openai/embed"]),
        ("tts", ["openai/tts-1"]),
        ("rerank", ["acme/plug/in/org/m:1"]),
        ("moderation", []),
        ("rerank&llm", ["openai/babbage", "openai/gpt-3.5", "openai/gpt-4o", "vllm/*"]),
    ],
)
def test_a_scope_offers_one_type_of_models_that_have_its_features(
    scope: str | None, inside: list[str]
) -> None:
    assert names(scope) == inside


@pytest.mark.parametrize(
    ("scope", "hint"),
    [
        ("lmm", "scope: has the unknown word 'lmm'; did you mean llm?"),
        ("tool-call&", "scope: has the unknown word ''; there are: all, llm, "),
        ("llm|vision", "scope: has the unknown word 'llm|vision'; did you mean vision?"),
    ],
)
def test_a_word_that_is_none_is_an_error_with_those_there_are(scope: str, hint: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        Scope.parse(scope)
    assert str(caught.value).startswith(hint)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (
            "openai/gpt-4o",
            {
                "provider": "openai",
                "model": "gpt-4o",
                "model_type": "llm",
                "mode": "chat",
                "completion_params": {},
            },
        ),
        (
            "langgenius/openai/openai/babbage",
            {
                "provider": "langgenius/openai/openai",
                "model": "babbage",
                "model_type": "llm",
                "mode": "completion",
                "completion_params": {},
            },
        ),
        (
            "openai/gpt-3.5",
            {
                "provider": "openai",
                "model": "gpt-3.5",
                "model_type": "llm",
                "mode": "chat",
                "completion_params": {},
            },
        ),
        (
            "vllm/Qwen/Qwen3-8B",
            {
                "provider": "vllm",
                "model": "Qwen/Qwen3-8B",
                "model_type": "llm",
                "mode": "chat",
                "completion_params": {},
            },
        ),
        (
            "openai/tts-1",
            {"provider": "openai", "model": "tts-1", "model_type": "tts", "voice": "alloy"},
        ),
        (
            "openai/embed",
            {"provider": "openai", "model": "embed", "model_type": "text-embedding"},
        ),
        (
            "acme/plug/in/org/m:1",
            {"provider": "acme/plug/in", "model": "org/m:1", "model_type": "rerank"},
        ),
    ],
)
def test_a_name_becomes_the_value_that_dify_would_give(name: str, value: dict[str, Any]) -> None:
    assert select_model(Scope.parse("all"), SERVED, name, "model") == value


@pytest.mark.parametrize(
    ("scope", "name", "problem"),
    [
        (
            "tool-call&llm",
            "openai/babbage",
            (
                "model: 'openai/babbage' is outside the scope tool-call&llm; models of scope"
                " tool-call&llm: openai/gpt-3.5, openai/gpt-4o"
            ),
        ),
        (
            "tool-call&llm",
            "vllm/any",
            (
                "model: 'vllm/any' is outside the scope tool-call&llm; models of scope"
                " tool-call&llm: openai/gpt-3.5, openai/gpt-4o"
            ),
        ),
        (
            "tts",
            "azure/tts-9",
            "model: 'azure/tts-9' is served by no live worker; models of scope tts: openai/tts-1",
        ),
        ("moderation", "gpt", "model: 'gpt' is served by no live worker; models of scope"),
    ],
)
def test_a_model_outside_is_refused_with_those_inside(scope: str, name: str, problem: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        select_model(Scope.parse(scope), SERVED, name, "model")
    assert str(caught.value).startswith(problem)


def test_without_workers_nothing_can_be_picked() -> None:
    with pytest.raises(NoWorkerError, match="no worker is alive"):
        select_model(Scope.parse("llm"), (), "openai/gpt-4o", "model")


def test_what_a_written_selector_says_stays_but_its_type() -> None:
    written = {
        "provider": "openai",
        "model": "gpt-3.5",
        "model_type": "tts",
        "mode": None,
        "completion_params": {"temperature": 0.5},
        "surplus": 1,
    }
    assert complete_selector(Scope.parse("llm"), SERVED, written, "model") == {
        "provider": "openai",
        "model": "gpt-3.5",
        "model_type": "llm",
        "mode": "chat",
        "completion_params": {"temperature": 0.5},
        "surplus": 1,
    }


@pytest.mark.parametrize("written", [{"provider": "openai"}, {"provider": 1, "model": "m"}])
def test_a_written_selector_names_provider_and_model(written: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError, match=r"model\.(model|provider): is missing"):
        complete_selector(Scope.parse("llm"), SERVED, written, "model")


def test_facts_are_those_of_live_workers() -> None:
    known = find_facts(SERVED, "langgenius/openai/openai", "gpt-4o")
    assert known is not None
    assert known.features == [ModelFeature.TOOL_CALL, ModelFeature.VISION]
    assert find_facts(SERVED, "vllm", "any") is None
