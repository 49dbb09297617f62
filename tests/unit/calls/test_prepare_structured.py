"""How the request for an object becomes an LLM call."""

from typing import Any

import orjson
import pytest

from invokeq.protocol.entities import AIModelEntity, SystemPromptMessage
from invokeq.protocol.requests import LLMStructuredOutputRequest
from invokeq_providers.base import LLMCall, Provider
from invokeq_providers.calls.structured import is_strict, prepare_structured, wrap_schema

SCHEMA: dict[str, Any] = {"type": "object", "properties": {"ok": {"type": "boolean"}}}
FORMATS: dict[str, Any] = {"name": "response_format", "type": "string"}
SCHEMA_RULE = {"name": "json_schema", "use_template": "json_schema"}
IMAGE = {"type": "image", "format": "png", "mime_type": "image/png", "base64_data": "AA=="}


class Acme(Provider):
    """A provider with models of every way to ask for JSON."""

    def models(self) -> list[AIModelEntity]:
        temperature = {"name": "temperature", "use_template": "temperature"}
        openai = {**FORMATS, "options": ["text", "json_object", "json_schema"]}
        dify = {**FORMATS, "options": ["JSON", "XML"]}
        feature = {"features": ["structured-output", "vision"]}
        return [
            _model("native", [temperature, openai, SCHEMA_RULE], **feature),
            _model("bare", [SCHEMA_RULE], **feature),
            _model("no-rule", [temperature], **feature),
            _model("no-feature", [openai, SCHEMA_RULE]),
            _model("dify", [dify], features=["vision"]),
            _model("plain", [temperature]),
        ]


def _model(name: str, rules: list[dict[str, Any]], **fields: Any) -> AIModelEntity:
    given: dict[str, Any] = {
        "model": name,
        "model_type": "llm",
        "model_properties": {},
        "parameter_rules": rules,
    }
    return AIModelEntity.model_validate({**given, **fields})


def prepare(model: str, *messages: dict[str, Any], **parameters: Any) -> LLMCall:
    request = LLMStructuredOutputRequest.model_validate(
        {
            "provider": "acme",
            "model": model,
            "completion_params": parameters,
            "prompt_messages": messages or [{"role": "user", "content": "Who?"}],
            "structured_output_schema": SCHEMA,
        }
    )
    return prepare_structured(request, Acme("acme", {}), request_id="r", user="u")


def test_a_model_with_the_feature_gets_the_schema_as_a_parameter() -> None:
    call = prepare("native", temperature=0.5)
    assert call.parameters["response_format"] == "json_schema"
    wrapped = orjson.loads(call.parameters["json_schema"])
    assert wrapped == {"name": "response", "schema": SCHEMA}
    assert call.parameters["temperature"] == 0.5
    assert [message.content for message in call.prompt_messages] == ["Who?"]
    assert (call.request_id, call.user) == ("r", "u")


def test_booleans_stay_booleans() -> None:
    schema = orjson.loads(prepare("native").parameters["json_schema"])["schema"]
    assert schema["properties"]["ok"] == {"type": "boolean"}


def test_no_format_is_set_where_there_is_no_rule_for_it() -> None:
    assert prepare("bare").parameters.keys() == {"json_schema"}


@pytest.mark.parametrize("model", ["no-rule", "no-feature", "dify", "plain"])
def test_any_other_model_is_asked_in_a_system_message(model: str) -> None:
    call = prepare(model)
    first, second = call.prompt_messages
    assert isinstance(first, SystemPromptMessage)
    assert orjson.dumps(SCHEMA).decode() in first.get_text_content()
    assert second.content == "Who?"
    assert "json_schema" not in call.parameters


@pytest.mark.parametrize(
    ("model", "chosen"), [("dify", "JSON"), ("no-feature", "json_object"), ("plain", None)]
)
def test_json_mode_is_set_where_it_is_offered(model: str, chosen: str | None) -> None:
    assert prepare(model).parameters.get("response_format") == chosen


@pytest.mark.parametrize("model", ["native", "no-feature"])
def test_the_callers_own_format_gives_way(model: str) -> None:
    call = prepare(model, response_format="text", json_schema="{}")
    assert call.parameters["response_format"] != "text"
    assert call.parameters.get("json_schema") != "{}"


def test_the_first_system_message_is_joined_and_the_others_stay() -> None:
    call = prepare(
        "plain",
        {"role": "user", "content": "Hi."},
        {"role": "system", "content": "Be kind.", "name": "boss"},
        {"role": "assistant", "content": "Hello."},
        {"role": "system", "content": "Be brief."},
    )
    contents = [message.get_text_content() for message in call.prompt_messages]
    assert contents[0].endswith("\n\nBe kind.")
    assert contents[1:] == ["Hi.", "Hello.", "Be brief."]
    assert call.prompt_messages[0].name == "boss"


def test_a_system_message_of_parts_keeps_them() -> None:
    parts = [{"type": "text", "data": "Look:"}, IMAGE]
    call = prepare("dify", {"role": "system", "content": parts}, {"role": "user", "content": "?"})
    content = call.prompt_messages[0].content
    assert isinstance(content, list)
    assert [part.type.value for part in content] == ["text", "text", "image"]


@pytest.mark.parametrize("content", [None, "", []])
def test_an_empty_system_message_is_replaced(content: Any) -> None:
    call = prepare("plain", {"role": "system", "content": content}, {"role": "user"})
    assert len(call.prompt_messages) == 2
    assert not call.prompt_messages[0].get_text_content().endswith("\n")


def test_the_title_names_the_schema_where_vendors_take_it() -> None:
    assert wrap_schema({**SCHEMA, "title": "Person_1"})["name"] == "Person_1"
    assert wrap_schema({**SCHEMA, "title": "A person"})["name"] == "response"
    assert wrap_schema({**SCHEMA, "title": 5})["name"] == "response"


def closed(**properties: Any) -> dict[str, Any]:
    names = list(properties)
    return {
        "type": "object",
        "properties": properties,
        "required": names,
        "additionalProperties": False,
    }


def test_strict_mode_is_asked_for_where_it_takes_the_schema() -> None:
    person = closed(
        name={"type": "string", "description": "Full name"},
        age={"type": ["integer", "null"]},
        kind={"type": "string", "enum": ["a", "b"]},
        tags={"type": "array", "items": {"anyOf": [{"type": "string"}, closed()]}},
        address=closed(city={"type": "string"}),
    )
    assert is_strict(person)
    assert wrap_schema(person)["strict"] is True
    assert "strict" not in wrap_schema(SCHEMA)


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "array", "items": closed()},
        {**closed(a={"type": "string"}), "required": []},
        {**closed(a={"type": "string"}), "additionalProperties": True},
        closed(a={"type": "string", "pattern": "x"}),
        closed(a={"type": "object"}),
        closed(a={}),
        closed(a=True),
        closed(a={"type": "array"}),
        closed(a=closed(a=closed(a=closed(a=closed(a={"type": "string"}))))),
        closed(**{f"p{n}": {"type": "string"} for n in range(101)}),
        {**closed(), "$defs": {}},
    ],
)
def test_strict_mode_is_left_out_where_it_may_refuse(schema: dict[str, Any]) -> None:
    assert not is_strict(schema)
