"""The provider of the embedded models; each kind of model runs in a file of its own."""

from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from typing import Any, Final, Protocol, TypeVar

from pydantic import Field, NonNegativeInt, PositiveInt

from invokeq.protocol.entities import (
    AIModelEntity,
    ModelPropertyKey,
    ModelType,
)
from invokeq.protocol.errors import InvalidConfigurationError, MissingExtraError
from invokeq_providers.base import (
    Embedded,
    EmbeddingCall,
    LLMCall,
    ModerationCall,
    Provider,
    RerankCall,
    Score,
    Speech,
    SpeechCall,
    TranscriptionCall,
)
from invokeq_providers.chunks import LLMChunk
from invokeq_providers.local.embedding import MiniLM
from invokeq_providers.local.llm import LocalLLM, weights_path
from invokeq_providers.local.moderation import SafeType
from invokeq_providers.local.rerank import rank
from invokeq_providers.local.speech2text import Whisper
from invokeq_providers.local.tokens import TokenCounter
from invokeq_providers.local.tts import Speaker
from invokeq_providers.models.facts import ModelFacts, shipped_facts
from invokeq_providers.options import CONFIG_SOURCE, ProviderOptions, parse_options

_LLM: Final = "smollm2"
_TRAINED_CONTEXT: Final = 8192  # tokens; the model is of no use beyond

ModelT = TypeVar("ModelT", bound="_Model")


class LocalOptions(ProviderOptions):
    """Options of a provider of the type `local`.

    `context_size` is in tokens; each costs 23 KB of memory. `threads` is per model. More threads
    than idle cores make a model slower. The prompt cache skips the beginning that a prompt shares
    with the previous prompt; answers stay the same.

    `preload` names the models that a worker loads before the first call: true for all types served,
    or a list of models. Every other model is loaded by the first call, which blocks the process
    meanwhile: half a second for the LLM (several on a busy machine), under 0.1 s for the rest.

    `batch_texts` bounds the texts of several callers in one computation of MiniLM, for embeddings
    and reranking; 0 computes every call alone.
    """

    context_size: int = Field(default=4096, ge=256, le=_TRAINED_CONTEXT)
    threads: PositiveInt = 1
    preload: bool | tuple[str, ...] = True
    prompt_cache: bool = True
    batch_texts: NonNegativeInt = 64


class LocalProvider(Provider):
    """Provider of the type `local`.

    Each model answers one call at a time, in the order of arrival. A model without an installed
    package is not listed, and a call of the model raises MissingExtraError.
    """

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        super().__init__(name, options)
        self._options = parse_options(LocalOptions, name, options)
        context = {ModelPropertyKey.CONTEXT_SIZE.value: self._options.context_size}
        own = self._options.models.get(_LLM, {})
        models = {**self._options.models, _LLM: {"model_properties": context, **own}}
        self._facts = ModelFacts(name, shipped_facts("local"), models)
        self._missing: dict[ModelType, MissingExtraError] = {}
        self._present: dict[ModelType, _Model] = {}
        threads = self._options.threads
        self._llm = self._add(ModelType.LLM, self._make_llm)
        self._counter = self._make_counter()
        self._minilm = self._add(
            ModelType.TEXT_EMBEDDING, lambda: self._make_minilm(f"{name}/minilm")
        )
        self._reranker = self._add(
            ModelType.RERANK,
            lambda: self._minilm or self._make_minilm(f"{name}/minilm-rerank"),
        )
        self._speaker = self._add(ModelType.TTS, lambda: Speaker(f"{name}/espeak"))
        self._whisper = self._add(
            ModelType.SPEECH2TEXT, lambda: Whisper(f"{name}/whisper-tiny", threads=threads)
        )
        self._safetype = self._add(ModelType.MODERATION, lambda: SafeType(f"{name}/safetype"))
        if not self._present:
            raise self._missing[ModelType.LLM]
        self.model_types: frozenset[ModelType] = frozenset(self._present)
        self.missing: Mapping[ModelType, MissingExtraError] = self._missing
        self._preloaded = self._check_preload()

    def models(self) -> Sequence[AIModelEntity]:
        return [model for model in self._facts.models() if model.model_type in self._present]

    def facts(self, model_type: ModelType, model: str) -> AIModelEntity:
        if self._facts.find(model_type, model) is not None:
            self._model(model_type, self._present.get(model_type))
        return super().facts(model_type, model)

    @property
    def busy(self) -> bool:
        """Whether a model computes at this moment."""
        return any(model.busy for model in self._present.values())

    async def start(self, model_types: Collection[ModelType] | None = None) -> None:
        """Load the models of `preload`, as far as the process serves the types.

        With unknown types (None), `preload = true` means the LLM alone.
        """
        served = model_types
        if served is None:
            served = (ModelType.LLM,) if self._options.preload is True else self._preloaded
        for model_type in self._preloaded.intersection(served):
            await self._present[model_type].load()

    async def close(self) -> None:
        for model in self._present.values():
            await model.close()
        if self._counter is not None:
            await self._counter.close()

    def llm(self, call: LLMCall) -> AsyncGenerator[LLMChunk, None]:
        return self._model(ModelType.LLM, self._llm).answer(self.name, call)

    async def count_tokens(self, model: str, texts: Sequence[str]) -> Sequence[int] | None:
        self.facts(ModelType.LLM, model)
        return None if self._counter is None else await self._counter.count(texts)

    async def text_embedding(self, call: EmbeddingCall) -> Embedded:
        return await self._model(ModelType.TEXT_EMBEDDING, self._minilm).embed(call)

    async def rerank(self, call: RerankCall) -> Sequence[Score]:
        return await rank(self._model(ModelType.RERANK, self._reranker), call)

    async def tts(self, call: SpeechCall) -> Speech:
        return await self._model(ModelType.TTS, self._speaker).speak(call)

    async def speech2text(self, call: TranscriptionCall) -> str:
        return await self._model(ModelType.SPEECH2TEXT, self._whisper).transcribe(call)

    async def moderation(self, call: ModerationCall) -> bool:
        return await self._model(ModelType.MODERATION, self._safetype).judge(call)

    def _add(self, model_type: ModelType, make: Callable[[], ModelT]) -> ModelT | None:
        try:
            model = make()
        except MissingExtraError as error:
            self._missing[model_type] = error
            return None
        self._present[model_type] = model
        return model

    def _model(self, model_type: ModelType, model: ModelT | None) -> ModelT:
        if model is None:
            raise self._missing[model_type].with_traceback(None)
        return model

    def _make_llm(self) -> LocalLLM:
        return LocalLLM(
            f"{self.name}/{_LLM}",
            weights_path(f"{self.name}/{_LLM}"),
            context_size=self._options.context_size,
            threads=self._options.threads,
            prompt_cache=self._options.prompt_cache,
        )

    def _make_minilm(self, name: str) -> MiniLM:
        options = self._options
        return MiniLM(name, threads=options.threads, batch_texts=options.batch_texts)

    def _make_counter(self) -> TokenCounter | None:
        try:
            return TokenCounter(f"{self.name}/{_LLM}", weights_path(f"{self.name}/{_LLM}"))
        except MissingExtraError:
            return None

    def _check_preload(self) -> frozenset[ModelType]:
        """Return the types of the models to preload.

        Raise InvalidConfigurationError for an unknown model, and MissingExtraError for a missing
        package.
        """
        preload = self._options.preload
        if isinstance(preload, bool):
            return frozenset(self._present if preload else ())
        types = {model.model: model.model_type for model in self._facts.models()}
        for model in preload:
            if model not in types:
                raise InvalidConfigurationError(
                    source=CONFIG_SOURCE,
                    setting=f"providers.{self.name}.preload",
                    problem=f"there is no model {model!r}; there are: {', '.join(types)}",
                )
            self._model(types[model], self._present.get(types[model]))
        return frozenset(types[model] for model in preload)


class _Model(Protocol):
    """The common part of all kinds of models."""

    @property
    def busy(self) -> bool: ...

    async def load(self) -> None: ...

    async def close(self) -> None: ...
