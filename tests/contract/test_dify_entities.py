"""A document of ours is one of Dify's SDK and the other way round, over every entity.

The SDK runs in a process of its own, `dify_side.py`, under the interpreter that
`INVOKEQ_DIFY_PYTHON` names, or this one. Where the two sides differ on purpose, or where versions
of the SDK differ, the difference has a name below; everything else must be equal, down to the order
of the keys.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any, cast

import pytest
from pydantic import BaseModel, ValidationError

from invokeq.protocol import entities
from tests.support.dify.samples import BAD, FACTS, GOOD, HISTORY_WITH_CALLS, LOOKS, MODEL, TEMPLATES
from tests.support.paths import ROOT

INTERPRETER = "INVOKEQ_DIFY_PYTHON"
EXIT_SECONDS = 60.0


class DifySide:
    """Dify's SDK at the other end of two pipes."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.hello = self._answer()

    @property
    def before_0_9(self) -> bool:
        major, minor = self.hello["version"].split(".")[:2]
        return (int(major), int(minor)) < (0, 9)

    def ask(self, operation: str, entity: str, **arguments: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        request = {"operation": operation, "entity": entity, **arguments}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def write(self, entity: str, document: str) -> str:
        return self._granted(self.ask("write", entity, document=document))

    def build(self, entity: str, given: dict[str, Any]) -> str:
        return self._granted(self.ask("build", entity, given=given))

    def look(self, entity: str, document: str, member: str) -> Any:
        return self._granted(self.ask("look", entity, document=document, member=member))

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the SDK's process ended with {self._process.poll()}"
        return json.loads(line)

    @staticmethod
    def _granted(answer: dict[str, Any]) -> Any:
        assert "answer" in answer, answer
        return answer["answer"]


@pytest.fixture(scope="module")
def dify() -> Iterator[DifySide]:
    named = os.environ.get(INTERPRETER)
    script = ROOT / "tests" / "support" / "dify" / "side.py"
    with (
        tempfile.TemporaryFile() as noise,
        subprocess.Popen(
            [named or sys.executable, "-I", str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=noise,
            encoding="utf-8",
        ) as process,
    ):
        try:
            side = DifySide(process)
            if "absent" in side.hello:
                lacking = f"no Dify SDK: {side.hello['absent']}"
                pytest.fail(lacking) if named else pytest.skip(lacking)
            yield side
        finally:
            process.communicate(timeout=EXIT_SECONDS)


def ours(name: str) -> Any:
    """Return one of our classes by the common name."""
    first, *inner = name.split(".")
    found: Any = getattr(entities, first)
    for part in inner:
        found = getattr(found, part)
    return found


def exported(kind: type) -> set[str]:
    """Return the exported classes of a kind, with nested classes."""
    names = {name for name in entities.__all__ if _is(getattr(entities, name), kind)}
    return names | {
        nested
        for nested in (
            "AssistantPromptMessage.ToolCall",
            "AssistantPromptMessage.ToolCall.ToolCallFunction",
            "ImagePromptMessageContent.DETAIL",
        )
        if _is(ours(nested), kind)
    }


def _is(value: Any, kind: type) -> bool:
    return isinstance(value, type) and issubclass(value, kind)


MODELS = sorted(exported(BaseModel))
ENUMS = sorted(exported(Enum))


# The differences between versions of the SDK.

NEW_IN_0_9 = {"LLMPollingResult", "LLMPollingStatus"}


def without_opaque_body(value: Any) -> Any:
    """Before 0.9 messages and content parts have no `opaque_body`; the key is then ignored."""
    if isinstance(value, dict):
        rest = cast(dict[str, Any], value)
        return {
            key: without_opaque_body(inner) for key, inner in rest.items() if key != "opaque_body"
        }
    if isinstance(value, list):
        return [without_opaque_body(inner) for inner in cast(list[Any], value)]
    return value


def without_mime_type(entity: str, value: Any) -> Any:
    """Before 0.9 a segment of speech has no `mime_type`; the key is then ignored."""
    if entity != "TTSResult":
        return value
    return {key: inner for key, inner in value.items() if key != "mime_type"}


# The differences from every version of the SDK.


def with_plain_history(entity: str, value: Any) -> Any:
    """Dify writes only role, content and name of an agent's history; we write all fields."""
    if entity != "AgentModelConfig":
        return value
    plain = ("role", "content", "name")
    history = [{key: message[key] for key in plain} for message in value["history_prompt_messages"]]
    return {**value, "history_prompt_messages": history}


def with_blank_help(entity: str, value: Any, given: dict[str, Any]) -> Any:
    """The help text of a parameter from a template is in our own words."""
    if entity == "AIModelEntity":
        rules = zip(value["parameter_rules"], given.get("parameter_rules", []), strict=True)
        blanked = [with_blank_help("ParameterRule", *rule) for rule in rules]
        return {**value, "parameter_rules": blanked}
    if entity == "ParameterRule" and given.get("use_template") in TEMPLATES and "help" not in given:
        assert value["help"] is not None
        return {**value, "help": sorted(value["help"])}
    return value


@pytest.fixture(scope="module")
def comparable(dify: DifySide) -> Callable[[str, str], str]:
    """Return a function to remove the named differences from a document."""

    def comparable(entity: str, document: str) -> str:
        value = with_plain_history(entity, json.loads(document))
        if dify.before_0_9:
            value = without_mime_type(entity, without_opaque_body(value))
        return json.dumps(value, ensure_ascii=False)

    return comparable


def skip_what_this_version_lacks(dify: DifySide, entity: str) -> None:
    """Skip an entity new in 0.9, after a check for the absence in the SDK."""
    if dify.before_0_9 and entity in NEW_IN_0_9:
        assert dify.ask("fields", entity) == {"missing": True}
        pytest.skip(f"{entity} is new in Dify's SDK 0.9")


def cases(table: dict[str, list[dict[str, Any]]]) -> list[Any]:
    """Lay a table of documents out, one test case a document."""
    return [
        pytest.param(entity, document, id=f"{entity}-{number}")
        for entity, documents in table.items()
        for number, document in enumerate(documents)
    ]


def test_the_samples_cover_every_entity():
    assert sorted(GOOD) == MODELS


@pytest.mark.parametrize("entity", MODELS)
def test_the_fields_are_the_same(dify: DifySide, entity: str):
    skip_what_this_version_lacks(dify, entity)
    fields = {name: field.is_required() for name, field in ours(entity).model_fields.items()}
    if dify.before_0_9:
        fields = without_mime_type(entity, without_opaque_body(fields))
    assert dify.ask("fields", entity) == {"answer": fields}


@pytest.mark.parametrize("entity", ENUMS)
def test_the_members_are_the_same(dify: DifySide, entity: str):
    skip_what_this_version_lacks(dify, entity)
    values = {member.name: member.value for member in ours(entity)}
    if dify.before_0_9 and entity == "ModelFeature":
        del values["POLLING"]
    expected = {"values": values, "texts": issubclass(ours(entity), str)}
    assert dify.ask("members", entity) == {"answer": expected}


@pytest.mark.parametrize(("entity", "document"), cases(GOOD))
def test_both_sides_make_the_same_of_a_document(
    dify: DifySide,
    comparable: Callable[[str, str], str],
    entity: str,
    document: dict[str, Any],
):
    skip_what_this_version_lacks(dify, entity)
    text = json.dumps(document)

    def seen(written: str) -> str:
        blanked = with_blank_help(entity, json.loads(written), document)
        return comparable(entity, json.dumps(blanked))

    read = seen(ours(entity).model_validate_json(text).model_dump_json())
    assert seen(dify.write(entity, text)) == read
    assert seen(dify.build(entity, document)) == read
    assert seen(ours(entity)(**document).model_dump_json()) == read


@pytest.mark.parametrize(("entity", "document"), cases(GOOD))
def test_what_we_write_dify_reads_and_writes_again(
    dify: DifySide,
    comparable: Callable[[str, str], str],
    entity: str,
    document: dict[str, Any],
):
    skip_what_this_version_lacks(dify, entity)
    written = ours(entity)(**document).model_dump_json()
    assert comparable(entity, dify.write(entity, written)) == comparable(entity, written)


@pytest.mark.parametrize(("entity", "document"), cases(GOOD))
def test_what_dify_writes_we_read_and_write_again(
    dify: DifySide,
    comparable: Callable[[str, str], str],
    entity: str,
    document: dict[str, Any],
):
    skip_what_this_version_lacks(dify, entity)
    written = dify.build(entity, document)
    if document.get("history_prompt_messages") == HISTORY_WITH_CALLS:
        # Dify leaves the call id of a tool message out, and so cannot read this either.
        assert "refused" in dify.ask("write", entity, document=written)
        with pytest.raises(ValidationError):
            ours(entity).model_validate_json(written)
        return
    ours_again = ours(entity).model_validate_json(written).model_dump_json()
    assert comparable(entity, ours_again) == comparable(entity, written)


@pytest.mark.parametrize(("entity", "document"), cases(BAD))
def test_both_sides_refuse(dify: DifySide, entity: str, document: dict[str, Any]):
    skip_what_this_version_lacks(dify, entity)
    text = json.dumps(document)
    assert "refused" in dify.ask("write", entity, document=text)
    assert "refused" in dify.ask("build", entity, given=document)
    with pytest.raises(ValidationError):
        ours(entity).model_validate_json(text)
    with pytest.raises(ValidationError):
        ours(entity)(**document)


@pytest.mark.parametrize(
    ("entity", "member", "document"),
    [
        pytest.param(entity, member, document, id=f"{entity}-{member}-{number}")
        for entity, (members, documents) in LOOKS.items()
        for member in members
        for number, document in enumerate(documents)
    ],
)
def test_attributes_and_methods_tell_the_same(
    dify: DifySide, entity: str, member: str, document: dict[str, Any]
):
    value = getattr(ours(entity)(**document), member)
    value = value() if callable(value) else value
    value = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    if dify.before_0_9:
        value = without_opaque_body(value)
    assert dify.look(entity, json.dumps(document), member) == value


@pytest.mark.parametrize("language", ["zh_Hans", "pt_BR", "ja_JP", "en_US"])
def test_a_language_is_spelt_as_the_wire_before_0_9_and_in_lower_case_since(
    dify: DifySide, language: str
):
    text = json.dumps({"en_US": "hi", "zh_Hans": "你好"})
    spelling = language if dify.before_0_9 else language.lower()
    value = dify.look("I18nObject", text, spelling)
    both = entities.I18nObject.model_validate_json(text)
    assert getattr(both, language) == getattr(both, language.lower()) == value


def test_the_lower_case_spelling_is_input_since_0_9(dify: DifySide):
    given = {"en_us": "hi", "zh_hans": "你好"}
    written = entities.I18nObject(**given).model_dump_json()
    if dify.before_0_9:
        assert "refused" in dify.ask("build", "I18nObject", given=given)
    else:
        assert dify.build("I18nObject", given) == written


def test_the_polling_feature_is_new_in_0_9(dify: DifySide):
    given = {**FACTS, "features": ["polling"]}
    written = entities.ProviderModel.model_validate(given).model_dump_json()
    if dify.before_0_9:
        assert "refused" in dify.ask("write", "ProviderModel", document=written)
    else:
        assert dify.write("ProviderModel", written) == written


@pytest.mark.parametrize("enum", ["LLMMode", "PromptMessageRole", "DefaultParameterName"])
def test_value_of_finds_the_same_member(dify: DifySide, enum: str):
    for member in ours(enum):
        assert ours(enum).value_of(member.value) is member
        assert dify.ask("value_of", enum, value=member.value) == {"answer": member.name}
    assert dify.ask("value_of", enum, value="nothing")["refused"] == "ValueError"


@pytest.mark.parametrize("given", HISTORY_WITH_CALLS)
def test_an_object_becomes_the_same_message(dify: DifySide, given: dict[str, Any]):
    built = type(entities.ensure_prompt_message(given)).__name__
    expected = {"missing": True} if dify.before_0_9 else {"answer": built}
    assert dify.ask("message_class", "ensure_prompt_message", given=given) == expected


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"role": "robot"}, ValidationError),
        ({"content": "hi"}, ValidationError),
        ({"role": "tool"}, ValidationError),
        ({"role": "user", "content": [{"type": "x"}]}, ValidationError),
        (5, TypeError),
        (None, TypeError),
    ],
)
def test_what_is_no_message_is_refused_alike(dify: DifySide, given: Any, error: type[Exception]):
    answer = dify.ask("message_class", "ensure_prompt_message", given=given)
    if dify.before_0_9:
        assert answer == {"missing": True}
    else:
        assert answer["refused"] == error.__name__
    with pytest.raises(error):
        entities.ensure_prompt_message(given)


def test_an_agent_config_is_read_as_an_llm_config(dify: DifySide):
    given = {**MODEL, "mode": "chat", "history_prompt_messages": HISTORY_WITH_CALLS}
    written = entities.AgentModelConfig.model_validate(given).model_dump_json()
    config = entities.LLMModelConfig.model_validate_json(written)
    assert dify.write("LLMModelConfig", written) == config.model_dump_json()
