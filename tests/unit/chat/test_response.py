"""Answers in the format of chat completions."""

from collections.abc import Sequence
from typing import Any

import pytest

from invokeq.protocol.entities import AIModelEntity, LLMResultChunk
from invokeq_providers.base import LLMCall
from invokeq_providers.chat.response import SIGN_OF_LIFE_S, ChatAnswer
from invokeq_providers.chunks import as_entity

FACTS = AIModelEntity.model_validate(
    {
        "model": "m",
        "model_type": "llm",
        "model_properties": {},
        "pricing": {"input": "1", "output": "2", "unit": "0.001", "currency": "EUR"},
    }
)
CALL = LLMCall(
    request_id="1",
    model="m",
    facts=FACTS,
    prompt_messages=[],
    parameters={},
    tools=[],
    stop=[],
    stream=True,
    user=None,
)
FINISH: dict[str, Any] = {"choices": [{"delta": {}, "finish_reason": "stop"}]}


class Clock:
    """A clock moved by tests."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def event(**delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}


def piece(index: int | None, id_: str | None, name: str | None, arguments: str) -> dict[str, Any]:
    return {"index": index, "id": id_, "function": {"name": name, "arguments": arguments}}


def read(
    events: Sequence[dict[str, Any]], answer: ChatAnswer | None = None
) -> list[LLMResultChunk]:
    answer = answer or ChatAnswer(CALL, Clock())
    chunks = [chunk for one in events if (chunk := answer.feed(one)) is not None]
    return [as_entity(chunk) for chunk in (*chunks, answer.last())]


def texts(chunks: Sequence[LLMResultChunk]) -> list[str]:
    return [chunk.delta.message.get_text_content() for chunk in chunks]


def calls(chunk: LLMResultChunk) -> list[tuple[str, str, str]]:
    found = chunk.delta.message.tool_calls
    return [(call.id, call.function.name, call.function.arguments) for call in found]


def test_text_comes_out_in_order_and_the_role_alone_is_no_chunk() -> None:
    chunks = read(
        [event(role="assistant", content=""), event(content="a"), event(content="b"), FINISH]
    )
    assert texts(chunks) == ["a", "b", ""]
    assert [chunk.delta.index for chunk in chunks] == [0, 1, 2]
    assert chunks[-1].delta.finish_reason == "stop"


def test_usage_that_comes_after_the_end_is_priced() -> None:
    clock = Clock()
    answer = ChatAnswer(CALL, clock)
    clock.now = 2.5
    usage: dict[str, Any] = {"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 5}}
    (*_, last) = read([event(content="a"), FINISH, usage], answer)
    assert last.delta.usage is not None
    assert str(last.delta.usage.total_price) == "0.0200000"
    assert last.delta.usage.currency == "EUR"
    assert last.delta.usage.latency == 2.5


def test_no_usage_is_nothing() -> None:
    (last,) = read([FINISH])
    assert last.delta.usage is not None
    assert last.delta.usage.total_tokens == 0


def test_the_fingerprint_goes_along() -> None:
    chunks = read([{**event(content="a"), "system_fingerprint": "fp"}, FINISH])
    assert [chunk.system_fingerprint for chunk in chunks] == ["fp", "fp"]


@pytest.mark.parametrize("key", ["reasoning_content", "reasoning"])
def test_reasoning_is_wrapped(key: str) -> None:
    chunks = read([event(**{key: "x"}), event(**{key: "y"}), event(content="a"), FINISH])
    assert texts(chunks) == ["<think>\nx", "y", "\n</think>a", ""]


def test_reasoning_and_text_in_one_event() -> None:
    assert texts(read([event(reasoning="x", content="a"), FINISH])) == ["<think>\nx\n</think>a", ""]


def test_reasoning_ends_before_a_tool_call_and_with_the_answer() -> None:
    call = event(tool_calls=[piece(0, "c", "f", "{}")])
    assert "".join(texts(read([event(reasoning="x"), call, FINISH]))) == "<think>\nx\n</think>"
    assert "".join(texts(read([event(reasoning="x"), FINISH]))) == "<think>\nx\n</think>"


def test_a_refusal_is_text() -> None:
    assert texts(read([event(refusal="no"), FINISH])) == ["no", ""]


def test_tool_calls_come_whole_in_the_last_chunk() -> None:
    chunks = read(
        [
            event(tool_calls=[piece(0, "c1", "f", "")]),
            event(tool_calls=[piece(1, "c2", "g", "")]),
            event(tool_calls=[piece(0, None, None, '{"a"'), piece(1, None, None, "{}")]),
            event(tool_calls=[piece(0, None, None, ":1}")]),
            FINISH,
        ]
    )
    assert len(chunks) == 1
    assert calls(chunks[0]) == [("c1", "f", '{"a":1}'), ("c2", "g", "{}")]


def test_calls_that_share_an_index_are_told_apart_by_id() -> None:
    one = event(tool_calls=[piece(0, "c1", "f", "{}"), piece(0, "c2", "f", "[]")])
    assert calls(read([one, FINISH])[0]) == [("c1", "f", "{}"), ("c2", "f", "[]")]


def test_a_call_without_an_id_gets_one() -> None:
    ((id_, *_),) = calls(read([event(tool_calls=[piece(None, None, "f", "{}")]), FINISH])[0])
    assert id_.startswith("chatcmpl-tool-")


def test_fragments_come_as_they_are_with_the_id_of_their_call() -> None:
    answer = ChatAnswer(CALL, Clock(), fragments=True)
    first = event(content="t", tool_calls=[piece(0, "c1", "f", "{")])
    chunks = read([first, event(tool_calls=[piece(0, None, None, "}")]), FINISH], answer)
    assert [calls(chunk) for chunk in chunks] == [[("c1", "f", "{")], [("c1", "", "}")], []]
    assert texts(chunks) == ["t", "", ""]


def test_an_answer_that_was_not_streamed_is_one_chunk() -> None:
    message = {
        "content": "a",
        "reasoning_content": "x",
        "tool_calls": [
            {"id": None, "function": {"name": "f", "arguments": "{}"}},
            {"id": "", "function": {"name": "g", "arguments": "{}"}},
        ],
    }
    usage = {"prompt_tokens": 1, "completion_tokens": 2}
    whole = {"choices": [{"message": message, "finish_reason": "tool_calls"}], "usage": usage}
    for fragments in (False, True):
        chunk = ChatAnswer(CALL, Clock(), fragments=fragments).whole(whole)
        assert chunk.delta.index == 0
        assert texts([chunk]) == ["<think>\nx\n</think>a"]
        assert [name for _, name, _ in calls(chunk)] == ["f", "g"]
        assert chunk.delta.finish_reason == "tool_calls"
        assert chunk.delta.usage is not None
        assert chunk.delta.usage.total_tokens == 3


def test_the_legacy_format_of_completions() -> None:
    legacy = {"choices": [{"text": "a", "finish_reason": None}]}
    assert texts(read([legacy, {"choices": [{"text": "", "finish_reason": "stop"}]}])) == ["a", ""]


def test_stop_words_of_ours_end_the_text_and_not_the_counting() -> None:
    answer = ChatAnswer(CALL, Clock(), stop=["END"])
    usage: dict[str, Any] = {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 9}}
    length: dict[str, Any] = {"choices": [{"delta": {}, "finish_reason": "length"}]}
    chunks = read([event(content="a E"), event(content="ND b"), length, usage], answer)
    assert texts(chunks) == ["a ", ""]
    assert chunks[-1].delta.finish_reason == "stop"
    assert chunks[-1].delta.usage is not None
    assert chunks[-1].delta.usage.completion_tokens == 9


def test_text_held_back_comes_with_the_last_chunk() -> None:
    answer = ChatAnswer(CALL, Clock(), stop=["END"])
    assert texts(read([event(content="a E"), FINISH], answer)) == ["a ", "E"]


def test_a_long_silence_behind_tool_arguments_shows_life() -> None:
    clock = Clock()
    answer = ChatAnswer(CALL, clock)
    begun = answer.feed(event(tool_calls=[piece(0, "c1", "f", "")]))
    clock.now = SIGN_OF_LIFE_S
    alive = answer.feed(event(tool_calls=[piece(0, None, None, "{")]))
    again = answer.feed(event(tool_calls=[piece(0, None, None, "}")]))
    assert begun is None
    assert alive is not None
    assert texts([as_entity(alive)]) == [""]
    assert alive.delta.message.tool_calls == []
    assert again is None


def test_waiting_for_the_first_word_is_no_life() -> None:
    clock = Clock()
    answer = ChatAnswer(CALL, clock)
    clock.now = 100.0
    assert answer.feed(event(role="assistant", content="")) is None
