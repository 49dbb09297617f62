"""What a stopped invocation has used: the vendor's word where there is one, else an estimate."""

from array import array

from invokeq.protocol.entities import (
    AssistantPromptMessage,
    EmbeddingInputType,
    LLMResultChunk,
    LLMResultChunkDelta,
    LLMUsage,
    ModelType,
    UserPromptMessage,
)
from invokeq_providers.base import Embedded, EmbeddingCall, LLMCall
from invokeq_providers.models.usage import usage_from_tokens
from invokeq_providers.scripted import ScriptedProvider
from invokeq_worker.vendor.usage_meter import UsageMeter

PROVIDER = ScriptedProvider("scripted", {})
FACTS = PROVIDER.facts(ModelType.LLM, "echo")
CALL = LLMCall(
    request_id="r",
    model="echo",
    facts=FACTS,
    prompt_messages=[UserPromptMessage(content="12345678")],
    parameters={},
    tools=(),
    stop=(),
    stream=True,
    user=None,
)


def chunk(text: str, usage: LLMUsage | None = None) -> LLMResultChunk:
    message = AssistantPromptMessage(content=text)
    return LLMResultChunk(
        model="echo", delta=LLMResultChunkDelta(index=0, message=message, usage=usage)
    )


def test_nothing_was_used_before_anything_was_said() -> None:
    usage_meter = UsageMeter()
    usage_meter.begin(CALL)
    assert usage_meter.usage() is None


def test_an_answer_that_was_stopped_is_estimated_and_priced() -> None:
    usage_meter = UsageMeter()
    answer = usage_meter.begin(CALL)
    for text in ("abcd", "efgh", "世界"):
        answer.add(chunk(text))
    usage = usage_meter.usage()
    assert usage is not None
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (2, 4)
    assert usage["estimated"] is True
    assert usage["total_price"] == "0.0000100"  # 2 x 1.00 + 4 x 2.00 a million


def test_what_the_vendor_said_is_its_word() -> None:
    usage_meter = UsageMeter()
    answer = usage_meter.begin(CALL)
    answer.add(chunk("abcd"))
    answer.add(chunk("", usage_from_tokens(FACTS, 7, 9, 0.1)))
    usage = usage_meter.usage()
    assert usage is not None
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (7, 9)
    assert "estimated" not in usage


def test_calls_of_one_invocation_add_up() -> None:
    usage_meter = UsageMeter()
    usage_meter.begin(CALL).add(chunk("", usage_from_tokens(FACTS, 7, 9, 0.1)))
    usage_meter.begin(CALL).add(chunk("abcd"))
    usage = usage_meter.usage()
    assert usage is not None
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (9, 10)
    assert usage["estimated"] is True


def test_batches_of_vectors_add_up() -> None:
    facts = PROVIDER.facts(ModelType.TEXT_EMBEDDING, "hash")
    call = EmbeddingCall("r", "hash", facts, ["a"], (), EmbeddingInputType.QUERY, None)
    usage_meter = UsageMeter()
    for tokens in (3, 4):
        usage_meter.embedded(call, Embedded([array("f", [1.0])], tokens))
    usage = usage_meter.usage()
    assert usage is not None
    assert usage["tokens"] == 7
