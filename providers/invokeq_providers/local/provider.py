"""The provider of the embedded models; what runs a model is in the file of its kind."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, ClassVar, Final

from pydantic import Field, PositiveInt

from invokeq.protocol.entities import (
    AIModelEntity,
    LLMResultChunk,
    ModelPropertyKey,
    ModelType,
)
from invokeq_providers.base import LLMCall, Provider
from invokeq_providers.facts import ModelFacts, shipped_facts
from invokeq_providers.local.llm import LocalLLM, weights_path
from invokeq_providers.options import ProviderOptions, parse_options

_LLM: Final = "smollm2"
_TRAINED_CONTEXT: Final = 8192  # tokens; the model is of no use beyond


class LocalOptions(ProviderOptions):
    """`context_size` is in tokens and costs 23 KB of memory each; `threads` are of one model.

    More threads than idle cores make it slower, not faster. The prompt cache spares a call what its
    prompt has in common with the one before it, and shows in nothing but the time that takes.
    Without `preload` the first call loads the model, and llama.cpp lets no other Python code of the
    process run meanwhile: half a second, or several on a busy machine.
    """

    context_size: int = Field(default=4096, ge=256, le=_TRAINED_CONTEXT)
    threads: PositiveInt = 1
    preload: bool = True
    prompt_cache: bool = True


class LocalProvider(Provider):
    """Provider of the type `local`.

    Each model answers one call at a time, in the order of arrival; its other calls wait.
    """

    model_types: ClassVar[frozenset[ModelType]] = frozenset({ModelType.LLM})

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        super().__init__(name, options)
        self._options = parse_options(LocalOptions, name, options)
        context = {ModelPropertyKey.CONTEXT_SIZE.value: self._options.context_size}
        own = self._options.models.get(_LLM, {})
        models = {**self._options.models, _LLM: {"model_properties": context, **own}}
        self._facts = ModelFacts(name, shipped_facts("local"), models)
        self._llm = LocalLLM(
            f"{name}/{_LLM}",
            weights_path(f"{name}/{_LLM}"),
            context_size=self._options.context_size,
            threads=self._options.threads,
            prompt_cache=self._options.prompt_cache,
        )

    def models(self) -> Sequence[AIModelEntity]:
        return self._facts.models()

    @property
    def busy(self) -> bool:
        """Whether a model computes at this moment."""
        return self._llm.busy

    async def start(self) -> None:
        if self._options.preload:
            await self._llm.load()

    async def close(self) -> None:
        await self._llm.close()

    def llm(self, call: LLMCall) -> AsyncGenerator[LLMResultChunk, None]:
        return self._llm.answer(self.name, call)
