"""The fake vendor: numbers, delays and records calls, with planned failures and hangs.

The plan comes from the provider's options; model parameters override the plan of an LLM call. A
journal records the course of calls, so a test can see whether closing a stream reached the source.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import aclosing
from typing import Any, ClassVar, Final, NamedTuple, Protocol, TypeAlias, TypeVar

from invokeq.protocol.entities import AIModelEntity, ModelType
from invokeq.protocol.usage import BillingUnit
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
from invokeq_providers.models.facts import ModelFacts, shipped_facts
from invokeq_providers.options import Batch, parse_options
from invokeq_providers.scripted import speech
from invokeq_providers.scripted.journal import JOURNAL_SIZE, Entries, Journal, peak
from invokeq_providers.scripted.llm import ScriptedAnswer
from invokeq_providers.scripted.plan import CallPlan, Plan, ScriptedOptions, planned_failure
from invokeq_providers.scripted.vectors import embed, inputs, score

_PLANNED: Final = frozenset(Plan.model_fields)
_PLANS: Final = 256  # different plans in the cache
_NUMBERED: Final = 10_000  # invocations whose calls are counted; the oldest are forgotten

Given: TypeAlias = tuple[tuple[str, Any], ...]

T = TypeVar("T")


class Step(NamedTuple):
    """One call of an invocation and the texts of the call, as input of a gate's decision."""

    request_id: str
    number: int
    texts: list[str]


class _Call(Protocol):
    @property
    def request_id(self) -> str: ...
    @property
    def model(self) -> str: ...


class ScriptedProvider(Provider):
    """Provider of the type `scripted`.

    `journal` holds pairs (request id, event) of all instances in the process. Every call but an
    LLM's awaits the `gate` before the answer, so a test can decide the order of answers.
    """

    model_types: frozenset[ModelType] = frozenset(
        {
            ModelType.LLM,
            ModelType.TEXT_EMBEDDING,
            ModelType.RERANK,
            ModelType.TTS,
            ModelType.SPEECH2TEXT,
            ModelType.MODERATION,
        }
    )
    journal: ClassVar[Entries] = deque(maxlen=JOURNAL_SIZE)

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        super().__init__(name, options)
        self.gate: Callable[[Step], Awaitable[None]] | None = None
        self._options = parse_options(ScriptedOptions, name, options)
        self.batch: Batch | None = self._options.batch
        self._facts = ModelFacts(name, shipped_facts("scripted"), self._options.models)
        self._journal = Journal(self.journal, self._options.journal_file)
        self._numbers: OrderedDict[str, int] = OrderedDict()
        self._plans: dict[Given, Plan] = {(): self._options}

    @classmethod
    def events(cls, request_id: str) -> list[str]:
        """Return the journal's events of one invocation, oldest first."""
        return [event for noted, event in cls.journal if noted == request_id]

    @classmethod
    def peak(cls, request_id: str) -> int:
        """Return the highest number of concurrent calls of one invocation."""
        return peak(cls.events(request_id))

    def models(self) -> Sequence[AIModelEntity]:
        return self._facts.models()

    async def start(self, model_types: Collection[ModelType] | None = None) -> None:
        del model_types  # one journal serves all types
        self._journal.open()

    async def close(self) -> None:
        self._journal.close()

    async def llm(self, call: LLMCall) -> AsyncGenerator[LLMChunk, None]:
        answer = ScriptedAnswer(self.name, call, self._plan(call))
        self._journal.open()
        self._journal.note(call.request_id, "started")
        if call.tools:
            names = ",".join(tool.name for tool in call.tools)
            self._journal.note(call.request_id, f"tools:{names}")
        # GeneratorExit and CancelledError are no Exception: an early close leaves `closed`.
        end = "closed"
        try:
            async with aclosing(answer.chunks()) as chunks:
                async for chunk in chunks:
                    yield chunk
            end = "finished"
        except Exception:
            end = "failed"
            raise
        finally:
            self._journal.note(call.request_id, end)

    async def count_tokens(self, model: str, texts: Sequence[str]) -> Sequence[int] | None:
        """Return the number of words of each text."""
        return [len(text.split()) for text in texts] if self._options.counts_tokens else None

    async def text_embedding(self, call: EmbeddingCall) -> Embedded:
        plan = self._options.embedding
        texts = inputs(call.texts or call.documents)
        return await self._run(call, plan, texts, lambda spoilt: embed(call, plan, spoilt=spoilt))

    async def rerank(self, call: RerankCall) -> Sequence[Score]:
        plan = self._options.rerank
        texts = inputs(call.docs)
        call.record_usage(sum(len(text.split()) for text in texts), BillingUnit.TOKEN)
        return await self._run(call, plan, texts, lambda spoilt: score(call, plan, spoilt=spoilt))

    async def tts(self, call: SpeechCall) -> Speech:
        plan = self._options.tts

        def answer(spoilt: bool) -> Speech:
            empty = spoilt and plan.spoil == "empty"
            audio = b"" if empty else speech.speak(call.text, call.voice, plan.frames)
            return Speech(audio, "audio/mpeg")

        return await self._run(call, plan, [call.text], answer)

    async def speech2text(self, call: TranscriptionCall) -> str:
        plan = self._options.speech2text
        transcript = plan.text if plan.text is not None else speech.transcript(call.audio)
        text = f"{len(call.audio)} bytes of {call.mime_type}" if transcript is None else transcript
        call.record_usage(len(call.audio) / speech.BYTES_A_SECOND, BillingUnit.SECOND)
        return await self._run(call, plan, [text], lambda _: text)

    async def moderation(self, call: ModerationCall) -> bool:
        plan = self._options.moderation
        text = call.text.casefold()
        flagged = any(word.casefold() in text for word in plan.flagged_words)
        return await self._run(call, plan, [call.text], lambda _: flagged)

    def _plan(self, call: LLMCall) -> Plan:
        given = tuple((k, v) for k, v in call.parameters.items() if k in _PLANNED)
        plan = self._plans.get(given)
        if plan is None:
            plan = self._options.model_copy(update=dict(given))
            # Bounded: the parameters of callers must not fill the memory.
            if len(self._plans) < _PLANS:
                self._plans[given] = plan
        return plan

    async def _run(
        self, call: _Call, plan: CallPlan, texts: list[str], answer: Callable[[bool], T]
    ) -> T:
        """Return the planned answer to a call, and record the course of the call."""
        number = self._number(call.request_id)
        self._journal.open()
        self._journal.note(call.request_id, f"started:{number}:{len(texts)}")
        end = "closed"
        try:
            await self._obey(call, plan, Step(call.request_id, number, texts))
            result = answer(number == plan.spoil_at)
            end = "finished"
        except Exception:
            end = "failed"
            raise
        finally:
            self._journal.note(call.request_id, f"{end}:{number}")
        return result

    async def _obey(self, call: _Call, plan: CallPlan, step: Step) -> None:
        """Wait, hang, or raise the planned error, as planned for the call."""
        if self.gate is not None:
            await self.gate(step)
        # A delay of 0 also lets other tasks run, as a network would.
        await asyncio.sleep(plan.delay(step.number))
        if plan.hang_at == step.number:
            await asyncio.get_running_loop().create_future()
        if plan.fail_at == step.number:
            detail = f"as planned, in call {step.number}"
            raise planned_failure(plan, detail, provider=self.name, model=call.model)

    def _number(self, request_id: str) -> int:
        """Return the number of the next call of an invocation, from 0."""
        # Removed and inserted again, so that the least recently used comes first.
        number = self._numbers.pop(request_id, 0)
        self._numbers[request_id] = number + 1
        # No end of an invocation is seen here, so the oldest counters are dropped.
        if len(self._numbers) > _NUMBERED:
            self._numbers.popitem(last=False)
        return number
