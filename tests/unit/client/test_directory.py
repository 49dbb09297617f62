"""Which queue a call belongs into, and what is said when there is none."""

import pytest

from invokeq.operations.directory import LiveWorker, choose_queue, list_models
from invokeq.protocol.directory import ProviderEntry, WorkerEntry
from invokeq.protocol.entities import AIModelEntity, ModelType
from invokeq.protocol.errors import ModelNotFoundError, NoWorkerError, ProviderNotFoundError

LLM = ModelType.LLM


def model_entity(name: str) -> AIModelEntity:
    return AIModelEntity.model_validate({"model": name, "model_type": LLM, "model_properties": {}})


def worker(*queues: str, any_model: bool = False, **models: list[str]) -> LiveWorker:
    entry = WorkerEntry(
        name="w", pool="p", queues=list(queues), catalog="c", host="h", pid=1, concurrency=1
    )
    providers = {
        name: ProviderEntry(
            name=name,
            any_model=any_model,
            model_types=[LLM],
            models=[model_entity(m) for m in listed],
        )
        for name, listed in models.items()
    }
    return LiveWorker(entry, providers)


def test_the_queue_of_the_provider_goes_before_that_of_the_type() -> None:
    both = (worker("llm", openai=["gpt"]), worker("llm.openai", openai=["gpt"]))
    assert choose_queue(both, LLM, "openai", "gpt") == "llm.openai"
    assert choose_queue(both[:1], LLM, "langgenius/openai/openai", "gpt") == "llm"


def test_a_worker_that_does_not_have_the_model_does_not_count() -> None:
    workers = (worker("llm.openai", openai=["old"]), worker("llm", openai=["gpt"]))
    assert choose_queue(workers, LLM, "openai", "gpt") == "llm"


def test_any_model_takes_any_name() -> None:
    assert choose_queue((worker("llm", any_model=True, vllm=[]),), LLM, "vllm", "mine") == "llm"


def test_nobody_is_there() -> None:
    with pytest.raises(NoWorkerError, match="no worker is alive"):
        choose_queue((), LLM, "openai", "gpt")


def test_nobody_knows_the_provider() -> None:
    with pytest.raises(ProviderNotFoundError, match="there are: local, openai"):
        choose_queue((worker("llm", openai=["gpt"], local=["s"]),), LLM, "opnai", "gpt")


def test_the_provider_does_not_have_the_model() -> None:
    with pytest.raises(ModelNotFoundError, match="it has: gpt, o1"):
        choose_queue((worker("llm", openai=["o1", "gpt"]),), LLM, "openai", "gtp")


def test_nobody_listens_for_the_type() -> None:
    with pytest.raises(NoWorkerError, match="live workers listen on llm only"):
        choose_queue((worker("llm", openai=["gpt"]),), ModelType.RERANK, "openai", "gpt")


def test_models_are_listed_once_and_in_order() -> None:
    workers = (worker("llm", b=["y", "x"], a=["z"]), worker("llm", a=["z"]))
    assert [(p, e.model) for p, e in list_models(workers)] == [("a", "z"), ("b", "x"), ("b", "y")]
    assert list_models(workers, ModelType.TTS) == []
