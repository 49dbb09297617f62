"""The calls of fake sessions: the real calls, with a script for the answers."""

from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, TypeVar

from invokeq.models.llm import LLM, AsyncLLM
from invokeq.models.llm_structured_output import AsyncLLMStructuredOutput, LLMStructuredOutput
from invokeq.models.models import AsyncModels, BaseModels, Models
from invokeq.models.moderation import AsyncModeration, Moderation
from invokeq.models.rerank import AsyncRerank, Rerank
from invokeq.models.speech2text import AsyncSpeech2Text, Speech2Text
from invokeq.models.summary import AsyncSummary, Summary
from invokeq.models.text_embedding import AsyncTextEmbedding, TextEmbedding
from invokeq.models.tts import TTS, AsyncTTS
from invokeq.operations.directory import Directory
from invokeq.operations.options import SessionOptions
from invokeq.protocol.errors import InvokeqError
from invokeq.protocol.kinds import CallKind
from invokeq.protocol.requests import (
    LLMRequest,
    LLMStructuredOutputRequest,
    ModerationRequest,
    Speech2TextRequest,
    SummaryRequest,
    TTSRequest,
)
from invokeq.testing.llm import LLMAnswer, StructuredAnswer
from invokeq.testing.script import Script
from invokeq.testing.values import (
    AnyRerankRequest,
    EmbeddingAnswer,
    EmbeddingRequest,
    RerankAnswer,
    TTSAnswer,
)
from invokeq.testing.worker import FakeWorker

# Nobody assigns these attributes, so each may be of a narrower type.
# pyright: reportIncompatibleVariableOverride=false

R = TypeVar("R")
A = TypeVar("A")


class Scripted(Generic[R, A]):
    """Adds a script, and the record of calls, to the calls of a kind."""

    _script: Script[R, A]

    @property
    def calls(self) -> Sequence[R]:
        """Return the requests of the kind so far, validated, in order of sending."""
        return self._script.calls

    def answers(self, *answers: A | InvokeqError | Callable[[R], A | InvokeqError]) -> None:
        """Script the answers of the next calls: one answer a call, in order.

        The docstring of the class lists the types of an answer. An InvokeqError is raised in place
        of an answer. A function of the request answers every call without an answer. Raises
        TypeError for a value of another type.
        """
        self._script.add(answers)


class ScriptedWithFiles(Scripted[R, A]):
    """Calls with scripted answers, and a record of the sent files."""

    @property
    def files(self) -> Sequence[bytes]:
        """Return the files of the calls so far."""
        return self._script.files


class FakeLLM(Scripted[LLMRequest, LLMAnswer], LLM):
    """An answer is a text, an AssistantPromptMessage, an LLMResultChunk, or a list of these."""


class FakeAsyncLLM(Scripted[LLMRequest, LLMAnswer], AsyncLLM):
    """An answer is as for `FakeLLM`."""


class FakeLLMStructuredOutput(
    Scripted[LLMStructuredOutputRequest, StructuredAnswer], LLMStructuredOutput
):
    """An answer is a dict, the text of one, or a list of texts or whole chunks."""


class FakeAsyncLLMStructuredOutput(
    Scripted[LLMStructuredOutputRequest, StructuredAnswer], AsyncLLMStructuredOutput
):
    """An answer is as for `FakeLLMStructuredOutput`."""


class FakeModeration(Scripted[ModerationRequest, bool], Moderation):
    """An answer is a bool."""


class FakeAsyncModeration(Scripted[ModerationRequest, bool], AsyncModeration):
    """An answer is a bool."""


class FakeRerank(Scripted[AnyRerankRequest, RerankAnswer], Rerank):
    """An answer is a list of scores, one a document, in the order of the documents; or a result."""


class FakeAsyncRerank(Scripted[AnyRerankRequest, RerankAnswer], AsyncRerank):
    """An answer is as for `FakeRerank`."""


class FakeSpeech2Text(ScriptedWithFiles[Speech2TextRequest, str], Speech2Text):
    """An answer is a text."""


class FakeAsyncSpeech2Text(ScriptedWithFiles[Speech2TextRequest, str], AsyncSpeech2Text):
    """An answer is a text."""


class FakeSummary(Scripted[SummaryRequest, str], Summary):
    """An answer is a text."""


class FakeAsyncSummary(Scripted[SummaryRequest, str], AsyncSummary):
    """An answer is a text."""


class FakeTextEmbedding(Scripted[EmbeddingRequest, EmbeddingAnswer], TextEmbedding):
    """An answer is a list of vectors, one a text; one vector for all texts; or a result."""


class FakeAsyncTextEmbedding(Scripted[EmbeddingRequest, EmbeddingAnswer], AsyncTextEmbedding):
    """An answer is as for `FakeTextEmbedding`."""


class FakeTTS(Scripted[TTSRequest, TTSAnswer], TTS):
    """An answer is the bytes of one segment, or a list of segments."""


class FakeAsyncTTS(Scripted[TTSRequest, TTSAnswer], AsyncTTS):
    """An answer is as for `FakeTTS`."""


_FAKES: Final[dict[Any, Any]] = {
    LLM: FakeLLM,
    AsyncLLM: FakeAsyncLLM,
    LLMStructuredOutput: FakeLLMStructuredOutput,
    AsyncLLMStructuredOutput: FakeAsyncLLMStructuredOutput,
    Moderation: FakeModeration,
    AsyncModeration: FakeAsyncModeration,
    Rerank: FakeRerank,
    AsyncRerank: FakeAsyncRerank,
    Speech2Text: FakeSpeech2Text,
    AsyncSpeech2Text: FakeAsyncSpeech2Text,
    Summary: FakeSummary,
    AsyncSummary: FakeAsyncSummary,
    TextEmbedding: FakeTextEmbedding,
    AsyncTextEmbedding: FakeAsyncTextEmbedding,
    TTS: FakeTTS,
    AsyncTTS: FakeAsyncTTS,
}
"""The typed fakes of the built-in kinds; fakes of other kinds are made on first use."""


class ScriptedModels(BaseModels):
    """Builds the calls of every kind, each with a script."""

    def __init__(
        self, worker: FakeWorker, transport: Any, directory: Directory, options: SessionOptions
    ) -> None:
        self._worker = worker
        super().__init__(transport, directory, options)

    def _build(self, kind: CallKind) -> Any:
        real = self._class_of(kind)
        # A kind of another package has no typed fake: build one over the kind's own class, so that
        # its `prepare` and `submit` are the real ones.
        fake: Any = _FAKES.get(real) or type(f"Fake{real.__name__}", (ScriptedWithFiles, real), {})
        calls = fake(*self._parts)
        calls._script = self._worker.script(kind)
        return calls


class FakeModels(ScriptedModels, Models):
    """`session.model` of a FakeSession: the calls of `Models`, with `answers(...)` and `calls`."""

    llm: FakeLLM
    llm_structured_output: FakeLLMStructuredOutput
    moderation: FakeModeration
    rerank: FakeRerank
    speech2text: FakeSpeech2Text
    summary: FakeSummary
    text_embedding: FakeTextEmbedding
    tts: FakeTTS


class FakeAsyncModels(ScriptedModels, AsyncModels):
    """`session.model` of a FakeAsyncSession: as `FakeModels`."""

    llm: FakeAsyncLLM
    llm_structured_output: FakeAsyncLLMStructuredOutput
    moderation: FakeAsyncModeration
    rerank: FakeAsyncRerank
    speech2text: FakeAsyncSpeech2Text
    summary: FakeAsyncSummary
    text_embedding: FakeAsyncTextEmbedding
    tts: FakeAsyncTTS
