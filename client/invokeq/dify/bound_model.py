"""`session.model` of the SDK, served by invokeq, with the SDK's signatures, classes and order.

Beyond the SDK, every argument may be a dict instead of an entity.
"""

import contextlib
from collections.abc import Generator, Mapping, Sequence
from typing import IO, Any, TypeVar, cast

from dify_plugin.entities.model import EmbeddingInputType
from dify_plugin.entities.model.llm import (
    LLMModelConfig,
    LLMResult,
    LLMResultChunk,
    LLMResultChunkWithStructuredOutput,
    LLMResultWithStructuredOutput,
)
from dify_plugin.entities.model.message import PromptMessage, PromptMessageTool
from dify_plugin.entities.model.moderation import ModerationModelConfig
from dify_plugin.entities.model.rerank import (
    MultiModalRerankModelConfig,
    MultiModalRerankResult,
    RerankModelConfig,
    RerankResult,
)
from dify_plugin.entities.model.speech2text import Speech2TextModelConfig
from dify_plugin.entities.model.text_embedding import (
    EmbeddingUsage,
    MultiModalContent,
    MultiModalEmbeddingModelConfig,
    MultiModalEmbeddingResult,
    TextEmbeddingModelConfig,
    TextEmbeddingResult,
)
from dify_plugin.entities.model.tts import TTSModelConfig
from pydantic import BaseModel

from invokeq.protocol import entities as ours
from invokeq.session import Session

E = TypeVar("E", bound=BaseModel)

Fields = Mapping[str, Any]


class BoundModels:
    """Replaces the SDK's `session.model`."""

    def __init__(self, session: Session) -> None:
        self.llm: LLMInvocation = LLMInvocation(session)
        self.llm_structured_output: LLMStructuredOutputInvocation = LLMStructuredOutputInvocation(
            session
        )
        self.moderation: ModerationInvocation = ModerationInvocation(session)
        self.rerank: RerankInvocation = RerankInvocation(session)
        self.speech2text: Speech2TextInvocation = Speech2TextInvocation(session)
        self.summary: SummaryInvocation = SummaryInvocation(session)
        self.text_embedding: TextEmbeddingInvocation = TextEmbeddingInvocation(session)
        self.tts: TTSInvocation = TTSInvocation(session)


class _Bound:
    """Base of the attributes of `session.model`; as in the SDK, an attribute is not callable."""

    def __init__(self, session: Session) -> None:
        self._model = session.model


class LLMInvocation(_Bound):
    """`session.model.llm`."""

    def invoke(
        self,
        model_config: LLMModelConfig | Fields,
        prompt_messages: Sequence[PromptMessage],
        tools: Sequence[PromptMessageTool] | None = None,
        stop: Sequence[str] | None = None,
        stream: bool = True,
    ) -> Generator[LLMResultChunk, None, None] | LLMResult:
        """Call an LLM; arguments are checked at once, the call is sent with the first `next()`.

        Without `stream` the call is sent at once and returns the whole result.
        """
        asked = (_plain(model_config), _plain(prompt_messages), _plain(tools), stop)
        if stream:
            return _each(LLMResultChunk, self._model.llm.invoke(*asked, stream=True))
        return _as(LLMResult, self._model.llm.invoke(*asked, stream=False))


class LLMStructuredOutputInvocation(_Bound):
    """`session.model.llm_structured_output`."""

    def invoke(
        self,
        model_config: LLMModelConfig | Fields,
        prompt_messages: Sequence[PromptMessage],
        structured_output_schema: dict[str, Any],
        tools: Sequence[PromptMessageTool] | None = None,
        stop: Sequence[str] | None = None,
        stream: bool = True,
    ) -> Generator[LLMResultChunkWithStructuredOutput, None, None] | LLMResultWithStructuredOutput:
        """Call an LLM for JSON; the last chunk, or the result, has `structured_output`."""
        config, messages, offered = _plain(model_config), _plain(prompt_messages), _plain(tools)
        asked = (config, messages, structured_output_schema, offered, stop)
        call = self._model.llm_structured_output.invoke
        if stream:
            return _each(LLMResultChunkWithStructuredOutput, call(*asked, stream=True))
        return _as(LLMResultWithStructuredOutput, call(*asked, stream=False))


class SummaryInvocation(_Bound):
    """`session.model.summary`."""

    def invoke(self, text: str, instruction: str, min_summarize_length: int = 1024) -> str:
        """Summarize a text; return a text below the minimum length unchanged, without a call."""
        return self._model.summary.invoke(text, instruction, min_summarize_length)


class TextEmbeddingInvocation(_Bound):
    """`session.model.text_embedding`."""

    def invoke(
        self,
        model_config: TextEmbeddingModelConfig | Fields,
        texts: list[str],
        input_type: EmbeddingInputType = EmbeddingInputType.QUERY,
    ) -> TextEmbeddingResult:
        """Return one vector for each text, in the order of the texts."""
        kind = _input_type(input_type)
        result = self._model.text_embedding.invoke(_plain(model_config), texts, kind)
        return _vectors(TextEmbeddingResult, result)

    def invoke_multimodal(
        self,
        model_config: MultiModalEmbeddingModelConfig | Fields,
        documents: Sequence[MultiModalContent | Fields],
        input_type: EmbeddingInputType = EmbeddingInputType.QUERY,
    ) -> MultiModalEmbeddingResult:
        """Return one vector for each text or picture; the config's tenant is ignored."""
        config, contents = _plain(model_config), _plain(documents)
        kind = _input_type(input_type)
        result = self._model.text_embedding.invoke_multimodal(config, contents, kind)
        return _vectors(MultiModalEmbeddingResult, result)


class RerankInvocation(_Bound):
    """`session.model.rerank`; the two calls take query and documents in different order."""

    def invoke(
        self, model_config: RerankModelConfig | Fields, docs: list[str], query: str
    ) -> RerankResult:
        """Return texts ranked, best first."""
        return _as(RerankResult, self._model.rerank.invoke(_plain(model_config), docs, query))

    def invoke_multimodal(
        self,
        model_config: MultiModalRerankModelConfig | Fields,
        query: MultiModalContent | Fields,
        docs: Sequence[MultiModalContent | Fields],
    ) -> MultiModalRerankResult:
        """Return texts and pictures ranked, best first."""
        asked = (_plain(model_config), _plain(query), _plain(docs))
        return _as(MultiModalRerankResult, self._model.rerank.invoke_multimodal(*asked))


class TTSInvocation(_Bound):
    """`session.model.tts`."""

    def invoke(
        self, model_config: TTSModelConfig | Fields, content_text: str
    ) -> Generator[bytes, None, None]:
        """Yield speech; as in the SDK, even the check of arguments waits for the first `next()`."""
        segments = self._model.tts.invoke(_plain(model_config), content_text)
        with contextlib.closing(segments):
            for segment in segments:
                yield bytes(segment)  # the exact type: a plugin may compare `type(...)`


class Speech2TextInvocation(_Bound):
    """`session.model.speech2text`."""

    def invoke(self, model_config: Speech2TextModelConfig | Fields, file: IO[bytes]) -> str:
        """Return the transcript of an audio file, which is read to its end."""
        return self._model.speech2text.invoke(_plain(model_config), file)


class ModerationInvocation(_Bound):
    """`session.model.moderation`."""

    def invoke(self, model_config: ModerationModelConfig | Fields, text: str) -> bool:
        """Return whether a text is sensitive."""
        return self._model.moderation.invoke(_plain(model_config), text)


def _each(entity: type[E], chunks: Generator[BaseModel, None, None]) -> Generator[E, None, None]:
    """Yield chunks as the SDK's class; closing the generator cancels the invocation."""
    # A plugin that stops early closes this generator, and so the invocation behind `chunks`.
    with contextlib.closing(chunks):
        for chunk in chunks:
            yield _as(entity, chunk)


def _as(entity: type[E], value: BaseModel) -> E:
    return entity.model_validate(value.model_dump(mode="json"))


def _vectors(
    entity: type[E], result: ours.TextEmbeddingResult | ours.MultiModalEmbeddingResult
) -> E:
    # Not validated: the SDK would visit each of up to millions of numbers.
    usage = _as(EmbeddingUsage, result.usage)
    return entity.model_construct(model=result.model, embeddings=result.embeddings, usage=usage)


def _input_type(value: EmbeddingInputType) -> ours.EmbeddingInputType:
    return cast(ours.EmbeddingInputType, value)  # the SDK's enum has the same values


def _plain(value: Any) -> Any:
    """Return entities of the SDK, alone or in a list, as JSON: the SDK's enums are not ours."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, list | tuple):
        return [_plain(item) for item in cast(Sequence[Any], value)]
    return value
