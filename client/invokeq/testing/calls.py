"""The calls of a fake session: the real ones, but for who answers."""

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from invokeq.invocation import Invocation
from invokeq.models.calls import Calls
from invokeq.models.llm import LLM
from invokeq.models.llm_structured_output import LLMStructuredOutput
from invokeq.models.moderation import Moderation
from invokeq.models.rerank import Rerank
from invokeq.models.speech2text import Speech2Text
from invokeq.models.summary import Summary
from invokeq.models.text_embedding import TextEmbedding
from invokeq.models.tts import TTS
from invokeq.operations.call import Call
from invokeq.operations.control import InvocationStatus
from invokeq.operations.directory import Directory
from invokeq.operations.options import SessionOptions
from invokeq.protocol.errors import InvokeqError
from invokeq.protocol.redis.resp import Reply
from invokeq.protocol.requests import (
    LLMRequest,
    LLMStructuredOutputRequest,
    ModerationRequest,
    Speech2TextRequest,
    SummaryRequest,
    TTSRequest,
)
from invokeq.results.decode import ANY, ResultDecoder
from invokeq.testing.chunks import LLMAnswer, StructuredAnswer
from invokeq.testing.memory import Memory, MemoryReader, Record, no_redis
from invokeq.testing.script import Kind, Script
from invokeq.testing.values import (
    AnyRerankRequest,
    EmbeddingAnswer,
    EmbeddingRequest,
    RerankAnswer,
    TTSAnswer,
)
from invokeq.transport.batch import Batch
from invokeq.transport.blocking import Transport

R = TypeVar("R")
A = TypeVar("A")
Item = TypeVar("Item")
Result = TypeVar("Result")


class FakeCalls(Calls, Generic[R, A]):
    """One kind of call that answers by a script."""

    def __init__(
        self,
        kind: Kind[R, A],
        memory: Memory,
        transport: Transport,
        directory: Directory,
        options: SessionOptions,
    ) -> None:
        super().__init__(transport, directory, options)
        self._memory = memory
        self._script: Script[R, A] = memory.script(kind)

    @property
    def calls(self) -> Sequence[R]:
        """The requests of this kind so far, validated, in the order in which they were sent."""
        return self._script.calls

    def answers(self, *answers: A | InvokeqError | Callable[[R], A | InvokeqError]) -> None:
        """Script what the next calls get: one answer a call, in order.

        Of what an answer is made, the class says; it may be an InvokeqError to be raised. A
        function of the request answers every call beyond them.
        """
        self._script.add(answers)

    def _start(self, call: Call[Item, Result]) -> Invocation[Item, Result]:
        return read_record(self._memory, self._transport, call, self._memory.submit(call))


class FakeLLM(FakeCalls[LLMRequest, LLMAnswer], LLM):
    """An answer is a text, an AssistantPromptMessage, an LLMResultChunk, or a list of these."""


class FakeLLMStructuredOutput(
    FakeCalls[LLMStructuredOutputRequest, StructuredAnswer], LLMStructuredOutput
):
    """An answer is a dict, the text of one, or a list of texts or whole chunks."""


class FakeModeration(FakeCalls[ModerationRequest, bool], Moderation):
    """An answer is a bool."""


class FakeRerank(FakeCalls[AnyRerankRequest, RerankAnswer], Rerank):
    """An answer is a list of scores, one a document, in the order of the documents; or a result."""


class FakeSpeech2Text(FakeCalls[Speech2TextRequest, str], Speech2Text):
    """An answer is a text."""

    @property
    def files(self) -> Sequence[bytes]:
        """The audio of the calls so far."""
        return self._script.files


class FakeSummary(FakeCalls[SummaryRequest, str], Summary):
    """An answer is a text."""


class FakeTextEmbedding(FakeCalls[EmbeddingRequest, EmbeddingAnswer], TextEmbedding):
    """An answer is a list of vectors, one a text; one vector for all texts; or a result."""


class FakeTTS(FakeCalls[TTSRequest, TTSAnswer], TTS):
    """An answer is the bytes of one segment, or a list of segments."""


class FakeInvocation(Invocation[Item, Result]):
    """An invocation in memory."""

    def __init__(
        self,
        memory: Memory,
        transport: Transport,
        reader: MemoryReader,
        decoder: ResultDecoder[Item, Result],
        *,
        detached: bool,
    ) -> None:
        super().__init__(transport, reader, decoder, detached=detached)
        self._memory = memory

    def cancel(self) -> bool:
        return self._memory.cancel(self.request_id)

    def detach(self) -> None:
        self._detached = True
        self._memory.finish(self.request_id)

    def status(self) -> InvocationStatus:
        return self._memory.find(self.request_id).status()

    def _leave(self) -> None:
        if not self._reader.state.ended and not self._detached:
            self._reader.state.ended = True
            self.cancel()


def read_record(
    memory: Memory, transport: Transport, call: Call[Item, Result], record: Record
) -> Invocation[Item, Result]:
    """Give the handle of a call that was submitted."""
    reader = MemoryReader(memory, record.request_id)
    return FakeInvocation(memory, transport, reader, call.decoder, detached=call.options.detached)


def attach(
    memory: Memory, transport: Transport, request_id: str, after: str | None
) -> Invocation[Any, Any]:
    """Read an invocation without a say in whether it lives."""
    reader = MemoryReader(memory, request_id, after)
    return FakeInvocation(memory, transport, reader, ANY, detached=True)


class NoTransport(Transport):
    """Refuses to talk to any Redis."""

    def _exchange(self, batch: Batch) -> list[Reply]:
        raise no_redis(batch)
