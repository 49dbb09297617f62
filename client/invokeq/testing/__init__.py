"""Fake sessions for plugins' own tests: no Redis, no worker, answers by a script.

A fake session is the real one on a Redis in memory, so it checks arguments, starts lazily,
accumulates and raises as the real one does. It promises nothing about time: a model answers as fast
as it is read, and a detached invocation has ended by the time a test looks.

A package with a kind of call of its own names a `FakeKind` in `CallKind.fake_ref`: how a scripted
answer becomes `FakeEvent`s.
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
