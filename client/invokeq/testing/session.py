"""The fake session: `FakeSession`, a `Session` whose invocations are kept in memory."""

from collections.abc import Iterable, Sequence
from typing import Any

from invokeq.invocation import Invocation
from invokeq.operations.call import Call, Item, Result
from invokeq.operations.directory import LiveWorker
from invokeq.protocol.requests import Request
from invokeq.session import Models, Session
from invokeq.testing import chunks, values
from invokeq.testing.calls import (
    FakeLLM,
    FakeLLMStructuredOutput,
    FakeModeration,
    FakeRerank,
    FakeSpeech2Text,
    FakeSummary,
    FakeTextEmbedding,
    FakeTTS,
    NoTransport,
    attach,
    read_record,
)
from invokeq.testing.memory import NOWHERE, Memory

# Nobody assigns these attributes, so each may be of a narrower type.
# pyright: reportIncompatibleVariableOverride=false


class FakeSession(Session):
    """A session for tests: scripted answers instead of models, and a record of what was asked."""

    model: "FakeModels"

    def __init__(
        self, plugin_id: str = "test", tenant_id: str | None = None, user_id: str | None = None
    ) -> None:
        super().__init__(plugin_id, tenant_id, user_id, redis=NOWHERE)
        self.transport = NoTransport(NOWHERE)
        self.memory = Memory(self.options)
        self.model = FakeModels(self)

    @property
    def calls(self) -> Sequence[Request]:
        """The requests so far, of all kinds, validated, in the order in which they were sent."""
        return self.memory.calls

    @property
    def request_ids(self) -> Sequence[str]:
        """The ids of the invocations so far, in the same order; see `attach(id).status()`."""
        return list(self.memory.records)

    def submit_many(self, calls: Iterable[Call[Item, Result]]) -> list[Invocation[Item, Result]]:
        """Begin calls of any kinds, all or none, in their order."""
        listed = list(calls)
        records = self.memory.submit_many(listed)
        return [
            read_record(self.memory, self.transport, call, record)
            for call, record in zip(listed, records, strict=True)
        ]

    def attach(self, request_id: str, after: str | None = None) -> Invocation[Any, Any]:
        """Read an invocation of this session, from its start or after an event id."""
        return attach(self.memory, self.transport, request_id, after)

    def workers(self) -> tuple[LiveWorker, ...]:
        """List the live workers: there are none here."""
        return ()


class FakeModels(Models):
    """`session.model`: one attribute a kind of call."""

    llm: FakeLLM
    llm_structured_output: FakeLLMStructuredOutput
    moderation: FakeModeration
    rerank: FakeRerank
    speech2text: FakeSpeech2Text
    summary: FakeSummary
    text_embedding: FakeTextEmbedding
    tts: FakeTTS

    def __init__(self, session: FakeSession) -> None:
        super().__init__(session)
        calls = (session.memory, session.transport, session.directory, session.options)
        self.llm = FakeLLM(chunks.LLM, *calls)
        self.llm_structured_output = FakeLLMStructuredOutput(chunks.STRUCTURED, *calls)
        self.moderation = FakeModeration(values.MODERATION, *calls)
        self.rerank = FakeRerank(values.RERANK, *calls)
        self.speech2text = FakeSpeech2Text(values.SPEECH2TEXT, *calls)
        self.summary = FakeSummary(values.SUMMARY, *calls)
        self.text_embedding = FakeTextEmbedding(values.EMBEDDING, *calls)
        self.tts = FakeTTS(values.TTS, *calls)
