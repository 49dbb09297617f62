"""Fake sessions for plugins' own tests: no Redis, no worker, answers by a script.

A fake session is the real session on a Redis in memory: arguments are checked, calls start lazily,
chunks accumulate and errors are raised as with workers. Times mean nothing: a model answers as fast
as the caller reads, and a detached invocation has ended by the time a test looks.

A package with another kind of call names a `FakeKind` in `CallKind.fake_ref`, to turn a scripted
answer into `FakeEvent`s.
"""

from invokeq.testing.llm import LLMAnswer, LLMPiece, StructuredAnswer, StructuredPiece
from invokeq.testing.models import (
    FakeAsyncLLM,
    FakeAsyncLLMStructuredOutput,
    FakeAsyncModels,
    FakeAsyncModeration,
    FakeAsyncRerank,
    FakeAsyncSpeech2Text,
    FakeAsyncSummary,
    FakeAsyncTextEmbedding,
    FakeAsyncTTS,
    FakeLLM,
    FakeLLMStructuredOutput,
    FakeModels,
    FakeModeration,
    FakeRerank,
    FakeSpeech2Text,
    FakeSummary,
    FakeTextEmbedding,
    FakeTTS,
)
from invokeq.testing.script import FakeEvent, FakeKind, Output, UnscriptedCallError
from invokeq.testing.session import FakeAsyncSession, FakeSession
from invokeq.testing.values import EmbeddingAnswer, RerankAnswer, TTSAnswer

__all__ = [
    "EmbeddingAnswer",
    "FakeAsyncLLM",
    "FakeAsyncLLMStructuredOutput",
    "FakeAsyncModels",
    "FakeAsyncModeration",
    "FakeAsyncRerank",
    "FakeAsyncSession",
    "FakeAsyncSpeech2Text",
    "FakeAsyncSummary",
    "FakeAsyncTTS",
    "FakeAsyncTextEmbedding",
    "FakeEvent",
    "FakeKind",
    "FakeLLM",
    "FakeLLMStructuredOutput",
    "FakeModels",
    "FakeModeration",
    "FakeRerank",
    "FakeSession",
    "FakeSpeech2Text",
    "FakeSummary",
    "FakeTTS",
    "FakeTextEmbedding",
    "LLMAnswer",
    "LLMPiece",
    "Output",
    "RerankAnswer",
    "StructuredAnswer",
    "StructuredPiece",
    "TTSAnswer",
    "UnscriptedCallError",
]
