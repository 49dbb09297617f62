"""The rules of messages, of their content, and of what an LLM call gives back."""

from collections import UserList
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from invokeq.protocol.entities import (
    AssistantPromptMessage,
    DeveloperPromptMessage,
    DocumentPromptMessageContent,
    ImagePromptMessageContent,
    LLMPollingResult,
    LLMResult,
    LLMResultChunk,
    LLMResultChunkDelta,
    LLMResultChunkWithStructuredOutput,
    LLMResultWithStructuredOutput,
    LLMUsage,
    MultiModalContent,
    NumTokensResult,
    PriceInfo,
    PromptMessage,
    PromptMessageFunction,
    PromptMessageRole,
    PromptMessageTool,
    SystemPromptMessage,
    ToolPromptMessage,
    UserPromptMessage,
    ensure_prompt_message,
)

FUNCTION: dict[str, Any] = {"name": "f", "arguments": "{}"}
CALL: dict[str, Any] = {"id": "c1", "type": "function", "function": FUNCTION}
PICTURE: dict[str, Any] = {"type": "image", "format": "png", "mime_type": "image/png"}
USAGE: dict[str, Any] = LLMUsage.empty_usage().model_dump(mode="json")


def wire(entity: BaseModel) -> dict[str, Any]:
    return entity.model_dump(mode="json")


@pytest.mark.parametrize(
    ("message", "role"),
    [
        (UserPromptMessage, "user"),
        (SystemPromptMessage, "system"),
        (DeveloperPromptMessage, "developer"),
    ],
)
def test_a_message_knows_its_role(message: type[PromptMessage], role: str):
    assert wire(message.model_validate({})) == {"role": role, "content": None, "name": None}
    assert wire(message.model_validate({"role": "tool"}))["role"] == "tool"


def test_assistant_and_tool_messages_have_more():
    assert wire(AssistantPromptMessage()) == {
        "role": "assistant",
        "content": None,
        "name": None,
        "tool_calls": [],
        "opaque_body": None,
    }
    assert wire(ToolPromptMessage(tool_call_id="c1")) == {
        "role": "tool",
        "content": None,
        "name": None,
        "tool_call_id": "c1",
    }


@pytest.mark.parametrize(
    "part",
    [
        {"type": "text", "data": "hi"},
        {**PICTURE, "url": "https://x/y.png"},
        {**PICTURE, "detail": "high", "base64_data": "AA==", "filename": "y.png"},
        {**PICTURE, "type": "audio"},
        {**PICTURE, "type": "video"},
        {**PICTURE, "type": "document"},
        {"type": "text", "data": "hi", "opaque_body": {"signature": [1, None, "x"]}},
    ],
)
@pytest.mark.parametrize("sequence", [list, tuple, UserList])
def test_content_takes_any_sequence_of_parts(part: dict[str, Any], sequence: Any):
    written = wire(UserPromptMessage(content=sequence([part])))["content"]
    assert [{key: written[0][key] for key in part}] == [part]
    assert UserPromptMessage(content=written) == UserPromptMessage(content=sequence([part]))


def test_content_takes_parts_that_are_built():
    part = ImagePromptMessageContent(format="png", mime_type="image/png", base64_data="AA==")
    assert UserPromptMessage(content=[part]).content == [part]
    assert wire(part) == {
        "opaque_body": None,
        "format": "png",
        "base64_data": "AA==",
        "url": "",
        "mime_type": "image/png",
        "filename": "",
        "type": "image",
        "detail": "low",
    }


@pytest.mark.parametrize(
    "content",
    [
        5,
        b"text",
        {"type": "text", "data": "hi"},
        ["text"],
        [5],
        [None],
        [{}],
        [{"data": "hi"}],
        [{"type": "image_url", "url": "https://x"}],
        [{"type": "text"}],
        [{"type": "text", "data": 5}],
        [{"type": "image", "format": "png"}],
        [{**PICTURE, "detail": "auto"}],
    ],
)
def test_content_refuses(content: Any):
    with pytest.raises(ValidationError):
        UserPromptMessage(content=content)


def test_the_data_of_a_file_is_its_url_or_a_data_url():
    given: dict[str, Any] = {"format": "pdf", "mime_type": "application/pdf", "base64_data": "AA=="}
    assert DocumentPromptMessageContent(**given).data == "data:application/pdf;base64,AA=="
    assert DocumentPromptMessageContent(**given, url="https://x/y.pdf").data == "https://x/y.pdf"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, ""),
        ("", ""),
        ("hi", "hi"),
        ([], ""),
        ([PICTURE], ""),
        ([{"type": "text", "data": "a"}, PICTURE, {"type": "text", "data": "b"}], "ab"),
    ],
)
def test_the_text_of_a_message(content: Any, text: str):
    message = UserPromptMessage(content=content)
    assert message.get_text_content() == text
    assert message.is_empty() is (not content)


@pytest.mark.parametrize(
    ("message", "empty"),
    [
        (AssistantPromptMessage(), True),
        (AssistantPromptMessage(content="hi"), False),
        (AssistantPromptMessage.model_validate({"tool_calls": [CALL]}), True),
        (AssistantPromptMessage.model_validate({"content": "hi", "tool_calls": [CALL]}), True),
        (ToolPromptMessage(tool_call_id=""), True),
        (ToolPromptMessage(content="hi", tool_call_id=""), False),
        (ToolPromptMessage(content="hi", tool_call_id="c1"), True),
    ],
)
def test_emptiness_is_told_as_dify_tells_it(message: PromptMessage, empty: bool):
    assert message.is_empty() is empty


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"id": None}, {"id": ""}),
        ({"id": 7}, {"id": "7"}),
        ({"type": None}, {"type": ""}),
        (
            {"function": {"name": None, "arguments": None}},
            {"function": {"name": "", "arguments": ""}},
        ),
    ],
)
def test_a_fragment_of_a_tool_call_may_have_blanks(given: dict[str, Any], kept: dict[str, Any]):
    call = AssistantPromptMessage.ToolCall.model_validate({**CALL, **given})
    assert wire(call) == {**CALL, **kept}


WRONG_MESSAGES: list[dict[str, Any]] = [
    {"tool_calls": None},
    {"tool_calls": {}},
    {"tool_calls": [{"type": "function", "function": FUNCTION}]},
    {"tool_calls": [{"id": "c1", "function": FUNCTION}]},
    {"tool_calls": [{"id": "c1", "type": "function"}]},
    {"tool_calls": [{**CALL, "type": 5}]},
    {"tool_calls": [{**CALL, "function": None}]},
    {"tool_calls": [{**CALL, "function": {"name": "f"}}]},
    {"tool_calls": [{**CALL, "function": {"name": "f", "arguments": {}}}]},
    {"tool_calls": [{**CALL, "function": {"name": 5, "arguments": ""}}]},
    {"role": "robot"},
    {"role": None},
    {"name": 5},
    {"opaque_body": Decimal(1)},
]


@pytest.mark.parametrize("given", WRONG_MESSAGES)
def test_an_assistant_message_refuses(given: dict[str, Any]):
    with pytest.raises(ValidationError):
        AssistantPromptMessage.model_validate(given)


def test_a_tool_message_names_its_call():
    with pytest.raises(ValidationError):
        ToolPromptMessage.model_validate({"content": "ok"})


@pytest.mark.parametrize(
    ("role", "message"),
    [
        ("user", UserPromptMessage),
        ("system", SystemPromptMessage),
        ("developer", DeveloperPromptMessage),
        ("assistant", AssistantPromptMessage),
        ("tool", ToolPromptMessage),
        (PromptMessageRole.TOOL, ToolPromptMessage),
    ],
)
def test_an_object_becomes_the_message_of_its_role(role: Any, message: type[PromptMessage]):
    built = ensure_prompt_message({"role": role, "content": "hi", "tool_call_id": "c1"})
    assert type(built) is message
    assert ensure_prompt_message(built) is built


@pytest.mark.parametrize("given", [{}, {"role": "robot"}, {"role": None}, {"role": []}])
def test_an_object_without_a_known_role_is_no_message(given: dict[str, Any]):
    with pytest.raises(ValidationError):
        ensure_prompt_message(given)


@pytest.mark.parametrize("given", [None, "hi", 5, [("role", "user")]])
def test_what_is_no_object_is_no_message(given: Any):
    with pytest.raises(TypeError):
        ensure_prompt_message(given)


def test_a_tool_has_a_name_a_description_and_parameters():
    tool = {"name": "f", "description": "d", "parameters": {"type": "object"}}
    function = PromptMessageFunction(function=PromptMessageTool.model_validate(tool))
    assert wire(function) == {"type": "function", "function": tool}
    for field in tool:
        with pytest.raises(ValidationError):
            PromptMessageTool.model_validate({**tool, field: None})


@pytest.mark.parametrize("given", [{"content": "x"}, {"content": "x", "content_type": "audio"}])
def test_a_multimodal_document_has_a_known_type(given: dict[str, Any]):
    with pytest.raises(ValidationError):
        MultiModalContent.model_validate(given)


def test_the_empty_usage():
    assert USAGE == {
        "prompt_tokens": 0,
        "prompt_unit_price": "0.0",
        "prompt_price_unit": "0.0",
        "prompt_price": "0.0",
        "completion_tokens": 0,
        "completion_unit_price": "0.0",
        "completion_price_unit": "0.0",
        "completion_price": "0.0",
        "total_tokens": 0,
        "total_price": "0.0",
        "currency": "USD",
        "latency": 0.0,
    }


@pytest.mark.parametrize("field", USAGE)
def test_a_usage_needs_all_of_its_fields(field: str):
    with pytest.raises(ValidationError):
        LLMUsage.model_validate({key: value for key, value in USAGE.items() if key != field})


@pytest.mark.parametrize("sent", [None, [], "nonsense", [{"role": "robot"}]])
@pytest.mark.parametrize(
    ("entity", "given"),
    [
        (LLMResultChunk, {"model": "m", "delta": {"index": 0, "message": {}}}),
        (LLMResult, {"model": "m", "message": {}, "usage": USAGE}),
        (LLMResultWithStructuredOutput, {"model": "m", "message": {}, "usage": USAGE}),
    ],
)
def test_a_result_never_carries_the_prompt(
    entity: type[LLMResultChunk] | type[LLMResult], given: dict[str, Any], sent: Any
):
    assert entity.model_validate({**given, "prompt_messages": sent}).prompt_messages == []
    assert wire(entity.model_validate(given))["prompt_messages"] == []


def test_a_chunk_writes_what_it_does_not_have_as_null():
    chunk = LLMResultChunk(
        model="m", delta=LLMResultChunkDelta(index=3, message=AssistantPromptMessage(content="hi"))
    )
    assert wire(chunk) == {
        "model": "m",
        "prompt_messages": [],
        "system_fingerprint": None,
        "delta": {
            "index": 3,
            "message": {
                "role": "assistant",
                "content": "hi",
                "name": None,
                "tool_calls": [],
                "opaque_body": None,
            },
            "usage": None,
            "finish_reason": None,
        },
    }


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"model": "m"},
        {"model": "m", "delta": {"index": 0}},
        {"model": "m", "delta": {"message": {}}},
        {"model": "m", "delta": {"index": 0, "message": None}},
        {"model": "m", "delta": {"index": 0, "message": {"tool_calls": None}}},
        {"model": "m", "delta": {"index": 0, "message": {}, "usage": {}}},
        {"model": "m", "delta": {"index": 0, "message": {}, "finish_reason": 5}},
    ],
)
def test_a_chunk_refuses(given: dict[str, Any]):
    with pytest.raises(ValidationError):
        LLMResultChunk.model_validate(given)


def test_a_result_becomes_one_chunk():
    result = LLMResultWithStructuredOutput(
        model="m",
        message=AssistantPromptMessage(content="hi"),
        usage=LLMUsage.empty_usage(),
        system_fingerprint="fp",
        structured_output={"a": 1},
    )
    delta = LLMResultChunkDelta(index=0, message=result.message, usage=result.usage)
    chunk = LLMResultChunk(model="m", system_fingerprint="fp", delta=delta)
    assert result.to_llm_result_chunk() == chunk
    structured = result.to_llm_result_chunk_with_structured_output()
    assert structured == LLMResultChunkWithStructuredOutput(
        model="m", system_fingerprint="fp", delta=delta, structured_output={"a": 1}
    )


@pytest.mark.parametrize("output", [None, {}, {"a": [1, {"b": None}]}])
def test_structured_output_is_an_object_or_nothing(output: Any):
    given = {"model": "m", "message": {}, "usage": USAGE, "structured_output": output}
    assert wire(LLMResultWithStructuredOutput.model_validate(given))["structured_output"] == output


@pytest.mark.parametrize("output", [[], "x", 5])
def test_structured_output_is_nothing_else(output: Any):
    given = {"model": "m", "message": {}, "usage": USAGE, "structured_output": output}
    with pytest.raises(ValidationError):
        LLMResultWithStructuredOutput.model_validate(given)


RESULT: dict[str, Any] = {"model": "m", "message": {}, "usage": USAGE}


@pytest.mark.parametrize(
    ("given", "result"),
    [
        ({"status": "running", "plugin_state": {"job": "1"}}, type(None)),
        ({"status": "failed", "error": "no"}, type(None)),
        ({"status": "succeeded", "result": RESULT}, LLMResult),
        (
            {"status": "succeeded", "result": {**RESULT, "structured_output": {"a": 1}}},
            LLMResultWithStructuredOutput,
        ),
    ],
)
def test_a_poll_has_what_its_status_needs(given: dict[str, Any], result: type):
    assert type(LLMPollingResult.model_validate(given).result) is result


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"status": "done"},
        {"status": "running"},
        {"status": "running", "plugin_state": {}},
        {"status": "succeeded"},
        {"status": "failed"},
        {"status": "failed", "error": ""},
        {"status": "failed", "error": "no", "max_attempts": 0},
        {"status": "failed", "error": "no", "next_check_after_seconds": -1},
    ],
)
def test_a_poll_refuses(given: dict[str, Any]):
    with pytest.raises(ValidationError):
        LLMPollingResult.model_validate(given)


def test_a_number_of_tokens_has_a_price():
    price = {"unit_price": "1", "unit": "0.001", "total_amount": "0.002", "currency": "USD"}
    assert wire(NumTokensResult.model_validate({**price, "tokens": 2})) == {**price, "tokens": 2}
    for field in price:
        with pytest.raises(ValidationError):
            PriceInfo.model_validate({**price, field: None})
