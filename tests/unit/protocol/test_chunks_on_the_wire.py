"""What a provider emits arrives at the client: every part of a content, and no part changed."""

from typing import Any

import orjson
import pytest

from invokeq.protocol.entities import LLMResultChunk
from invokeq.protocol.events import Event, EventId, EventKind
from invokeq.protocol.requests import LLMRequest
from invokeq.results.decode import llm_decoder
from invokeq_providers.chunks import LLMChunk, TextChunk
from invokeq_worker.attempts.event_mapping import emit_output
from tests.support.content_parts import PARTS

REQUEST = LLMRequest.model_validate(
    {"provider": "p", "model": "m", "prompt_messages": [{"role": "user", "content": "u"}]}
)


class Stream:
    """Takes events as the worker's writer does."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def chunk(self, payload: bytes) -> None:
        self.events.append(Event(EventId(1, 1), EventKind.CHUNK, orjson.loads(payload), b""))


def chunk(content: Any, **fields: Any) -> LLMResultChunk:
    message = {"content": content, **fields}
    return LLMResultChunk.model_validate({"model": "m", "delta": {"index": 0, "message": message}})


def arrived(*chunks: LLMChunk) -> tuple[list[LLMResultChunk], Any]:
    """Send chunks over the wire; return what the client decodes, and its result."""
    stream, decoder = Stream(), llm_decoder(REQUEST)
    for sent in chunks:
        emit_output(stream, sent)  # type: ignore[arg-type]
    items = [item for event in stream.events if (item := decoder.item_of(event)) is not None]
    return items, decoder.result_of(iter(items)).message


@pytest.mark.parametrize("part", PARTS.values(), ids=list(PARTS))
def test_a_part_of_every_type_arrives_as_it_was_sent(part: dict[str, Any]) -> None:
    sent = chunk([part])
    (item,), message = arrived(sent)
    assert item == sent
    assert message.content == sent.delta.message.content


def test_texts_and_parts_keep_their_order_in_the_result() -> None:
    _, message = arrived(TextChunk("m", 0, "a"), chunk("b"), chunk([PARTS["image"]]), chunk("c"))
    assert [part.type.value for part in message.content] == ["text", "image", "text"]
    assert message.get_text_content() == "abc"


def test_texts_that_come_as_parts_become_one_text() -> None:
    part = {"type": "text", "data": "b"}
    assert arrived(chunk("a"), chunk([part]))[1].content == "ab"


def test_the_last_opaque_body_is_in_the_result() -> None:
    _, message = arrived(chunk("a", opaque_body={"x": 1}), chunk("b"))
    assert message.opaque_body == {"x": 1}


@pytest.mark.parametrize("excluded", ["exclude_defaults", "exclude_unset", "exclude_none"])
def test_no_dump_loses_the_type_of_a_part(excluded: str) -> None:
    sent = chunk(list(PARTS.values()))
    options: dict[str, Any] = {excluded: True}
    assert LLMResultChunk.model_validate_json(sent.model_dump_json(**options)) == sent
    assert LLMResultChunk.model_validate(sent.model_dump(**options)) == sent


def test_the_schema_of_a_part_is_that_of_its_fields() -> None:
    schema = LLMResultChunk.model_json_schema(mode="serialization")
    assert schema["$defs"]["ImagePromptMessageContent"]["properties"]["detail"]
