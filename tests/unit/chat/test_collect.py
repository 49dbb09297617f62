"""Merging the chunks of an answer into one."""

from itertools import count
from typing import Any

import pytest

from invokeq.protocol.entities import AssistantPromptMessage, LLMResultChunk, LLMUsage
from invokeq.protocol.errors import InternalError
from invokeq_providers.chat.collect import collect

IMAGE: dict[str, Any] = {
    "type": "image",
    "format": "png",
    "mime_type": "image/png",
    "url": "http://x/y.png",
}


def chunk(content: Any = "", tool_calls: Any = (), **fields: Any) -> LLMResultChunk:
    message = {"content": content, "tool_calls": list(tool_calls)}
    opaque = fields.pop("opaque_body", None)
    delta = {"index": 5, "message": {**message, "opaque_body": opaque}}
    delta |= {k: fields.pop(k) for k in ("usage", "finish_reason") if k in fields}
    return LLMResultChunk.model_validate({"model": "m", "delta": delta, **fields})


def fragment(id_: str | None, name: str | None, arguments: str) -> dict[str, Any]:
    return {"id": id_, "type": None, "function": {"name": name, "arguments": arguments}}


def calls_of(*chunks: LLMResultChunk) -> list[tuple[str, str, str, str]]:
    numbers = count(1)
    merged = collect(chunks, lambda: f"new-{next(numbers)}")
    return [
        (call.id, call.type, call.function.name, call.function.arguments)
        for call in merged.delta.message.tool_calls
    ]


def test_text_is_joined_into_one_chunk() -> None:
    merged = collect([chunk("a"), chunk(None), chunk("b", finish_reason="stop")])
    assert merged.delta.message.content == "ab"
    assert merged.delta.index == 0
    assert merged.delta.finish_reason == ""
    assert merged.delta.usage == LLMUsage.empty_usage()


def test_a_part_makes_the_content_a_list() -> None:
    merged = collect([chunk("a"), chunk("b"), chunk([IMAGE]), chunk("c")])
    content = merged.delta.message.content
    assert isinstance(content, list)
    assert [part.type.value for part in content] == ["text", "image", "text"]
    assert merged.delta.message.get_text_content() == "abc"


def test_parts_that_are_all_text_become_text() -> None:
    text = {"type": "text", "data": "a"}
    assert collect([chunk([text]), chunk("b")]).delta.message.content == "ab"


def test_a_text_part_with_an_opaque_body_keeps_it() -> None:
    text = {"type": "text", "data": "a", "opaque_body": {"signature": "s"}}
    content = collect([chunk([text]), chunk("b")]).delta.message.content
    assert isinstance(content, list)
    assert content[0].opaque_body == {"signature": "s"}


def test_the_last_usage_fingerprint_and_opaque_body_win() -> None:
    usage = LLMUsage.empty_usage()
    later = usage.model_copy(update={"total_tokens": 9})
    merged = collect(
        [
            chunk("a", usage=usage, system_fingerprint="one", opaque_body=1),
            chunk("b", usage=later, system_fingerprint="two", opaque_body={"x": 2}),
            chunk("c"),
        ]
    )
    assert merged.delta.usage == later
    assert merged.system_fingerprint == "two"
    assert merged.delta.message.opaque_body == {"x": 2}


def test_fragments_without_an_id_continue_the_last_call() -> None:
    merged = calls_of(
        chunk(tool_calls=[fragment("c1", "search", "")]),
        chunk(tool_calls=[fragment(None, None, '{"q":')]),
        chunk(tool_calls=[fragment("", "", '"x"}')]),
    )
    assert merged == [("c1", "function", "search", '{"q":"x"}')]


def test_fragments_with_an_id_find_their_call() -> None:
    merged = calls_of(
        chunk(tool_calls=[fragment("c1", "a", ""), fragment("c2", "b", "")]),
        chunk(tool_calls=[fragment("c1", None, "1"), fragment("c2", None, "2")]),
    )
    assert merged == [("c1", "function", "a", "1"), ("c2", "function", "b", "2")]


def test_a_name_without_an_id_starts_a_call() -> None:
    merged = calls_of(
        chunk(tool_calls=[fragment(None, "a", "1")]),
        chunk(tool_calls=[fragment(None, "a", "2")]),
        chunk(tool_calls=[fragment(None, None, "3")]),
    )
    assert merged == [("new-1", "function", "a", "1"), ("new-2", "function", "a", "23")]


def test_arguments_that_come_first_are_not_lost() -> None:
    assert calls_of(chunk(tool_calls=[fragment(None, None, "{}")])) == [
        ("new-1", "function", "", "{}")
    ]


def test_the_chunks_themselves_stay_as_they_were() -> None:
    chunks = [
        chunk(tool_calls=[fragment("c1", "a", "1")]),
        chunk(tool_calls=[fragment("", "", "2")]),
    ]
    before = [one.model_copy(deep=True) for one in chunks]
    collect(chunks)
    assert chunks == before


def test_no_chunk_at_all_is_a_fault() -> None:
    with pytest.raises(InternalError):
        collect([])


def test_generated_ids_differ() -> None:
    merged = collect([chunk(tool_calls=[fragment(None, "a", ""), fragment(None, "b", "")])])
    ids: set[str] = {call.id for call in merged.delta.message.tool_calls}
    assert len(ids) == 2
    assert all(
        isinstance(call, AssistantPromptMessage.ToolCall)
        for call in merged.delta.message.tool_calls
    )
