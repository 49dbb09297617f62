"""`session.model`: the calls of every kind, built from the table of kinds."""

from abc import ABC, abstractmethod
from typing import Any

from invokeq.models.llm import LLM, AsyncLLM
from invokeq.models.llm_structured_output import AsyncLLMStructuredOutput, LLMStructuredOutput
from invokeq.models.moderation import AsyncModeration, Moderation
from invokeq.models.rerank import AsyncRerank, Rerank
from invokeq.models.speech2text import AsyncSpeech2Text, Speech2Text
from invokeq.models.summary import AsyncSummary, Summary
from invokeq.models.text_embedding import AsyncTextEmbedding, TextEmbedding
from invokeq.models.tts import TTS, AsyncTTS
from invokeq.operations.directory import Directory
from invokeq.operations.options import SessionOptions
from invokeq.protocol.errors import InvalidRequestError
from invokeq.protocol.kinds import CallKind, builtin_kinds, call_kinds, find_kind, resolve


class BaseModels(ABC):
    """The calls of every kind: built-in kinds as attributes, and all kinds by `of(name)`."""

    def __init__(self, transport: Any, directory: Directory, options: SessionOptions) -> None:
        self._parts = (transport, directory, options)
        self._calls: dict[str, Any] = {}
        for name, kind in builtin_kinds().items():
            # Kinds of one attribute, as `text_embedding` has two, share their calls.
            calls = vars(self).get(kind.attribute) or self._build(kind)
            self._calls[name] = calls
            setattr(self, kind.attribute, calls)

    def of(self, name: str) -> Any:
        """Return the calls of a kind by the name on the wire, such as "llm".

        Kinds of other packages have no attribute on `session.model`, only `of(name)`. Raises
        InvalidRequestError for an unknown kind.
        """
        # Late, not in __init__: a new session must not load every installed package.
        if name not in self._calls:
            kind = find_kind(name)
            if kind is None:
                known = ", ".join(call_kinds())
                raise InvalidRequestError(field="kind", problem=f"must be one of {known}")
            self._calls[name] = self._build(kind)
        return self._calls[name]

    def _build(self, kind: CallKind) -> Any:
        return self._class_of(kind)(*self._parts)

    @abstractmethod
    def _class_of(self, kind: CallKind) -> Any:
        """Return the class of the calls of a kind; takes transport, directory and options."""


class Models(BaseModels):
    """`session.model`: one attribute for each model type, and `of(name)` for every kind."""

    llm: LLM
    llm_structured_output: LLMStructuredOutput
    moderation: Moderation
    rerank: Rerank
    speech2text: Speech2Text
    summary: Summary
    text_embedding: TextEmbedding
    tts: TTS

    def _class_of(self, kind: CallKind) -> Any:
        return resolve(kind.calls_ref)


class AsyncModels(BaseModels):
    """`session.model` of an AsyncSession: as `Models`."""

    llm: AsyncLLM
    llm_structured_output: AsyncLLMStructuredOutput
    moderation: AsyncModeration
    rerank: AsyncRerank
    speech2text: AsyncSpeech2Text
    summary: AsyncSummary
    text_embedding: AsyncTextEmbedding
    tts: AsyncTTS

    def _class_of(self, kind: CallKind) -> Any:
        return resolve(kind.async_calls_ref)
