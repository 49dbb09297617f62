"""Requests in the format of chat completions."""

from typing import Any

import pytest

from invokeq.protocol.entities import PromptMessageTool, ensure_prompt_message
from invokeq.protocol.errors import InvalidParameterError, InvalidRequestError
from invokeq_providers.chat.request import chat_messages, chat_parameters, chat_tools


def write(message: dict[str, Any]) -> dict[str, Any]:
    return chat_messages([ensure_prompt_message(message)])[0]


def write_part(part: dict[str, Any]) -> dict[str, Any]:
    return write({"role": "user", "content": [part]})["content"][0]


def file(kind: str, mime: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "format": mime.partition("/")[2], "mime_type": mime, **fields}


@pytest.mark.parametrize("role", ["system", "developer", "user", "assistant"])
def test_text_keeps_its_role(role: str) -> None:
    assert write({"role": role, "content": "t"}) == {"role": role, "content": "t"}


def test_a_name_goes_along() -> None:
    assert write({"role": "user", "content": "t", "name": "ann"})["name"] == "ann"


def test_no_content_is_empty_text() -> None:
    assert write({"role": "user", "content": None})["content"] == ""


def test_parts_that_are_all_text_are_one_text() -> None:
    parts = [{"type": "text", "data": "a"}, {"type": "text", "data": "b"}]
    assert write({"role": "user", "content": parts})["content"] == "ab"


def test_tool_calls_and_their_results() -> None:
    tool_call = {"id": "c1", "type": "", "function": {"name": "f", "arguments": "{}"}}
    assert write({"role": "assistant", "content": "", "tool_calls": [tool_call]}) == {
        "role": "assistant",
        "content": None,
        "tool_calls": [{**tool_call, "type": "function"}],
    }
    result = {"role": "tool", "content": "r", "tool_call_id": "c1", "name": "f"}
    assert write(result) == {"role": "tool", "content": "r", "tool_call_id": "c1"}


def test_tools() -> None:
    tool = PromptMessageTool(name="f", description="d", parameters={"type": "object"})
    assert chat_tools([tool]) == [{"type": "function", "function": tool.model_dump()}]


def test_an_image_by_url_or_by_its_bytes() -> None:
    by_url = file("image", "image/png", url="http://x/y.png", detail="high")
    assert write_part(by_url)["image_url"] == {"url": "http://x/y.png", "detail": "high"}
    by_bytes = file("image", "image/png", base64_data="AA==")
    assert write_part(by_bytes)["image_url"] == {
        "url": "data:image/png;base64,AA==",
        "detail": "low",
    }


def test_text_stays_beside_an_image() -> None:
    parts = [{"type": "text", "data": "a"}, file("image", "image/png", url="http://x/y.png")]
    content = write({"role": "user", "content": parts})["content"]
    assert [part["type"] for part in content] == ["text", "image_url"]


@pytest.mark.parametrize(
    ("mime", "kind"), [("audio/mpeg", "mp3"), ("audio/x-wav", "wav"), ("audio/flac", "flac")]
)
def test_audio_by_its_bytes(mime: str, kind: str) -> None:
    part = write_part(file("audio", mime, base64_data="AA=="))
    assert part["input_audio"] == {"data": "AA==", "format": kind}


def test_audio_in_a_data_url_has_its_bytes_there() -> None:
    part = write_part(file("audio", "audio/wav", url="data:audio/wav;base64,BB=="))
    assert part["input_audio"]["data"] == "BB=="


def test_a_document_by_its_bytes() -> None:
    named = file("document", "application/pdf", base64_data="AA==", filename="a.pdf")
    data = "data:application/pdf;base64,AA=="
    assert write_part(named)["file"] == {"filename": "a.pdf", "file_data": data}
    nameless = file("document", "application/pdf", base64_data="AA==")
    assert write_part(nameless)["file"]["filename"] == "document.pdf"


def test_video_by_url() -> None:
    part = write_part(file("video", "video/mp4", url="http://x/y.mp4"))
    assert part == {"type": "video_url", "video_url": {"url": "http://x/y.mp4"}}


@pytest.mark.parametrize("kind", ["audio", "document"])
@pytest.mark.parametrize("fields", [{"url": "http://x/y"}, {}])
def test_a_file_that_would_have_to_be_fetched_is_refused(kind: str, fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        write_part(file(kind, f"{kind}/x", **fields))
    assert caught.value.field == "prompt_messages[0].content[0]"


def parameters(given: dict[str, Any]) -> dict[str, Any]:
    return chat_parameters(given, provider="p", model="m")


def test_parameters_pass_as_they_are() -> None:
    assert parameters({"temperature": 0.5, "seed": 1}) == {"temperature": 0.5, "seed": 1}


def test_a_response_format_becomes_an_object() -> None:
    assert parameters({"response_format": "json_object"}) == {
        "response_format": {"type": "json_object"}
    }


def test_a_schema_without_its_format_is_dropped() -> None:
    assert parameters({"json_schema": "{}", "seed": 1}) == {"seed": 1}


@pytest.mark.parametrize(
    ("text", "schema"),
    [
        ('{"type":"object"}', {"name": "response", "schema": {"type": "object"}}),
        ('{"name":"n","schema":{},"strict":true}', {"name": "n", "schema": {}, "strict": True}),
    ],
)
def test_a_schema_may_come_bare_or_named(text: str, schema: dict[str, Any]) -> None:
    written = parameters({"response_format": "json_schema", "json_schema": text})
    assert written == {"response_format": {"type": "json_schema", "json_schema": schema}}


@pytest.mark.parametrize("text", [None, "", "{", "[]", '"x"'])
def test_a_schema_must_be_an_object(text: str | None) -> None:
    with pytest.raises(InvalidParameterError) as caught:
        parameters({"response_format": "json_schema", "json_schema": text})
    assert caught.value.parameter == "json_schema"
