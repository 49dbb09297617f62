"""Writing requests for Anthropic's Messages API."""

from base64 import b64encode
from typing import Any

import pytest
from pydantic import TypeAdapter

from invokeq.protocol.entities import AnyPromptMessage, PromptMessage, PromptMessageTool
from invokeq.protocol.errors import InvalidRequestError
from invokeq_providers.anthropic.messages import system_prompt, tools, turns

_adapter: TypeAdapter[list[AnyPromptMessage]] = TypeAdapter(list[AnyPromptMessage])


def messages(*given: tuple[str, Any] | dict[str, Any]) -> list[PromptMessage]:
    tables = [
        {"role": item[0], "content": item[1]} if isinstance(item, tuple) else item for item in given
    ]
    return list(_adapter.validate_python(tables))


def text(data: str) -> dict[str, str]:
    return {"type": "text", "text": data}


def image(**fields: str) -> dict[str, str]:
    return {"type": "image", "format": "png", "mime_type": "image/png", **fields}


def document(mime_type: str, **fields: str) -> dict[str, str]:
    return {"type": "document", "format": "x", "mime_type": mime_type, **fields}


def asked(part: dict[str, str]) -> Any:
    """Return the block written for one part."""
    return turns(messages(("user", [part])))[0]["content"][0]


def test_system_messages_become_one() -> None:
    given = messages(("system", "Be terse."), ("user", "a"), ("system", ""), ("system", "No lies."))
    assert system_prompt(given) == "Be terse.\n\nNo lies."
    assert turns(given) == [{"role": "user", "content": [text("a")]}]
    assert system_prompt(messages(("user", "a"))) == ""


def test_neighbours_of_one_role_become_one() -> None:
    given = messages(("user", "a"), ("user", "b"), ("assistant", "c"), ("assistant", "d"))
    assert turns(given) == [
        {"role": "user", "content": [text("a"), text("b")]},
        {"role": "assistant", "content": [text("c"), text("d")]},
    ]


def test_empty_texts_are_left_out() -> None:
    parts = [{"type": "text", "data": ""}, {"type": "text", "data": "a"}]
    given = messages(("user", parts), ("assistant", ""), ("user", "b"))
    assert turns(given) == [{"role": "user", "content": [text("a"), text("b")]}]


def test_results_of_tools_stand_in_one_turn_of_the_user() -> None:
    calls = [
        {"id": i, "type": "function", "function": {"name": "f", "arguments": arguments}}
        for i, arguments in (("1", '{"a": [1]}'), ("2", ""))
    ]
    given = messages(
        {"role": "assistant", "content": "", "tool_calls": calls},
        {"role": "tool", "content": "x", "tool_call_id": "1"},
        {"role": "tool", "content": "", "tool_call_id": "2"},
        ("user", "go on"),
    )
    assert turns(given) == [
        {
            "role": "assistant",
            "content": [
                {"type": "tool_use", "id": "1", "name": "f", "input": {"a": [1]}},
                {"type": "tool_use", "id": "2", "name": "f", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "1", "content": [text("x")]},
                {"type": "tool_result", "tool_use_id": "2"},
                text("go on"),
            ],
        },
    ]


@pytest.mark.parametrize("arguments", ["{", "[1]", "3"])
def test_arguments_that_are_no_object_are_named(arguments: str) -> None:
    function = {"name": "f", "arguments": arguments}
    calls = [{"id": "1", "type": "function", "function": function}]
    given = messages(("user", "a"), {"role": "assistant", "content": "", "tool_calls": calls})
    with pytest.raises(InvalidRequestError, match="JSON text of an object") as caught:
        turns(given)
    assert caught.value.field == "prompt_messages[1].tool_calls[0].function.arguments"


@pytest.mark.parametrize(
    ("part", "source"),
    [
        (
            image(base64_data="aGk="),
            {"type": "base64", "media_type": "image/png", "data": "aGk="},
        ),
        (
            image(url="data:image/webp;base64,aGk="),
            {"type": "base64", "media_type": "image/webp", "data": "aGk="},
        ),
        (image(url="https://x.test/y.png"), {"type": "url", "url": "https://x.test/y.png"}),
    ],
)
def test_pictures(part: dict[str, str], source: dict[str, str]) -> None:
    assert asked(part) == {"type": "image", "source": source}


@pytest.mark.parametrize(
    ("part", "written"),
    [
        (
            document("application/pdf", base64_data="aGk=", filename="a.pdf"),
            {
                "source": {"type": "base64", "media_type": "application/pdf", "data": "aGk="},
                "title": "a.pdf",
            },
        ),
        (
            document("application/pdf", url="https://x.test/a.pdf"),
            {"source": {"type": "url", "url": "https://x.test/a.pdf"}},
        ),
        (
            document("text/markdown", base64_data=b64encode("Grüße 世界".encode()).decode()),
            {"source": {"type": "text", "media_type": "text/plain", "data": "Grüße 世界"}},
        ),
    ],
)
def test_documents(part: dict[str, str], written: dict[str, Any]) -> None:
    assert asked(part) == {"type": "document", **written}


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (image(), "neither base64_data nor a url"),
        (document("application/msword", base64_data="aGk="), "PDF or text only"),
        (document("text/plain", base64_data="/w=="), "no base64 of UTF-8"),
        (document("text/plain", base64_data="%"), "no base64 of UTF-8"),
        (
            {"type": "audio", "format": "mp3", "mime_type": "audio/mpeg", "base64_data": "aGk="},
            "not audio",
        ),
    ],
)
def test_what_cannot_be_sent_is_named(part: dict[str, str], words: str) -> None:
    given = messages(("user", "a"), ("user", [{"type": "text", "data": "b"}, part]))
    with pytest.raises(InvalidRequestError, match=words) as caught:
        turns(given)
    assert caught.value.field == "prompt_messages[1].content[1]"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("<think>\nhm\n</think>42", [text("42")]),
        ("<think>\nhm\n</think>", []),
        ("42", [text("42")]),
        ("", []),
    ],
)
def test_thoughts_that_come_along_are_not_said_twice(content: str, said: list[Any]) -> None:
    thought = {"type": "thinking", "thinking": "hm", "signature": "s"}
    body = {"anthropic_thinking": [thought]}
    given = messages({"role": "assistant", "content": content, "opaque_body": body})
    assert turns(given) == [{"role": "assistant", "content": [thought, *said]}]


def test_thoughts_of_others_stay_text() -> None:
    given = messages({"role": "assistant", "content": "<think>\nhm\n</think>42", "opaque_body": 1})
    assert turns(given)[0]["content"] == [text("<think>\nhm\n</think>42")]


def test_tools_have_an_object_as_schema() -> None:
    bare = PromptMessageTool(name="f", description="d", parameters={})
    full = PromptMessageTool(
        name="g", description="", parameters={"type": "object", "properties": {"a": {}}}
    )
    assert tools([bare, full]) == [
        {"name": "f", "description": "d", "input_schema": {"type": "object", "properties": {}}},
        {
            "name": "g",
            "description": "",
            "input_schema": {"type": "object", "properties": {"a": {}}},
        },
    ]
