"""The same fake session for asyncio; see `invokeq.testing.session`."""

from collections.abc import Iterable, Sequence
from typing import Any

from invokeq.async_invocation import AsyncInvocation
from invokeq.async_session import AsyncModels, AsyncSession
from invokeq.operations.call import Call, Item, Result
from invokeq.operations.directory import LiveWorker
from invokeq.protocol.requests import Request
from invokeq.testing import chunks, values
from invokeq.testing.async_calls import (
    FakeAsyncLLM,
    FakeAsyncLLMStructuredOutput,
    FakeAsyncModeration,
    FakeAsyncRerank,
    FakeAsyncSpeech2Text,
    FakeAsyncSummary,
    FakeAsyncTextEmbedding,
    FakeAsyncTTS,
    NoAsyncBroker,
    attach,
    read_record,
)
from invokeq.testing.memory import NOWHERE, Memory

# Nobody assigns these attributes, so each may be of a narrower type.
# pyright: reportIncompatibleVariableOverride=false


class FakeAsyncSession(AsyncSession):
    """An asyncio session for tests; as `FakeSession`."""

    model: "FakeAsyncModels"

    def __init__(
        self, plugin_id: str = "test", tenant_id: str | None = None, user_id: str | None = None
    ) -> None:
        super().__init__(plugin_id, tenant_id, user_id, redis=NOWHERE)
        self.transport = NoAsyncBroker(NOWHERE)
        self.memory = Memory(self.options)
        self.model = FakeAsyncModels(self)

    @property
    def calls(self) -> Sequence[Request]:
        """The requests so far, of all kinds, validated, in the order in which they were sent."""
        return self.memory.calls

    @property
    def request_ids(self) -> Sequence[str]:
        """The ids of the invocations so far, in the same order; see `attach(id).status()`."""
        return list(self.memory.records)

    async def submit_many(
        self, calls: Iterable[Call[Item, Result]]
    ) -> list[AsyncInvocation[Item, Result]]:
        """Begin calls of any kinds, all or none, in their order."""
        listed = list(calls)
        records = self.memory.submit_many(listed)
        return [
            read_record(self.memory, self.transport, call, record)
            for call, record in zip(listed, records, strict=True)
        ]

    def attach(self, request_id: str, after: str | None = None) -> AsyncInvocation[Any, Any]:
        """Read an invocation of this session, from its start or after an event id."""
        return attach(self.memory, self.transport, request_id, after)

    async def workers(self) -> tuple[LiveWorker, ...]:
        """List the live workers: there are none here."""
        return ()


class FakeAsyncModels(AsyncModels):
    """`session.model`: one attribute a kind of call."""

    llm: FakeAsyncLLM
    llm_structured_output: FakeAsyncLLMStructuredOutput
    moderation: FakeAsyncModeration
    rerank: FakeAsyncRerank
    speech2text: FakeAsyncSpeech2Text
    summary: FakeAsyncSummary
    text_embedding: FakeAsyncTextEmbedding
    tts: FakeAsyncTTS

    def __init__(self, session: FakeAsyncSession) -> None:
        super().__init__(session)
        calls = (session.memory, session.transport, session.directory, session.options)
        self.llm = FakeAsyncLLM(chunks.LLM, *calls)
        self.llm_structured_output = FakeAsyncLLMStructuredOutput(chunks.STRUCTURED, *calls)
        self.moderation = FakeAsyncModeration(values.MODERATION, *calls)
        self.rerank = FakeAsyncRerank(values.RERANK, *calls)
        self.speech2text = FakeAsyncSpeech2Text(values.SPEECH2TEXT, *calls)
        self.summary = FakeAsyncSummary(values.SUMMARY, *calls)
        self.text_embedding = FakeAsyncTextEmbedding(values.EMBEDDING, *calls)
        self.tts = FakeAsyncTTS(values.TTS, *calls)
