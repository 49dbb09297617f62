"""Dify's SDK, driven over pipes: one JSON object a line in, one a line out.

It is a program of its own because importing `dify_plugin` patches its whole process with gevent.
The first line out is `{"version": ...}`, or `{"absent": ...}` where the SDK cannot be imported.
Every line in names an `operation`, an `entity` and the operation's arguments; its answer is one of
`{"answer": ...}`, `{"refused": ...}` with the error's class, and `{"missing": true}` where this
version of the SDK does not have the entity. It ends when its input does.
"""

import importlib
import json
import sys
from collections.abc import Callable
from importlib.metadata import version
from types import ModuleType
from typing import Any, TextIO

MODULES = (
    "dify_plugin.entities.model.llm",
    "dify_plugin.entities.model.message",
    "dify_plugin.entities.model.moderation",
    "dify_plugin.entities.model.rerank",
    "dify_plugin.entities.model.speech2text",
    "dify_plugin.entities.model.text_embedding",
    "dify_plugin.entities.model.tts",
    "dify_plugin.entities.model",
    "dify_plugin.entities",
    "dify_plugin.entities.provider_config",
    "dify_plugin.interfaces.agent",
)


def write(entity: Any, document: str) -> str:
    """Read a document, and write it again."""
    return entity.model_validate_json(document).model_dump_json()


def build(entity: Any, given: dict[str, Any]) -> str:
    """Build an entity from keyword arguments, and write it."""
    return entity(**given).model_dump_json()


def look(entity: Any, document: str, member: str) -> Any:
    """Return an attribute of a parsed document, or the result of a method, as JSON values."""
    value: Any = getattr(entity.model_validate_json(document), member)
    value = value() if callable(value) else value
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else value


def fields(entity: Any) -> dict[str, bool]:
    """Return the fields of an entity by wire name, and whether each is required."""
    return {field.alias or name: field.is_required() for name, field in entity.model_fields.items()}


def members(entity: Any) -> dict[str, Any]:
    """Return the members of an enum, and whether the enum is a subclass of str."""
    return {
        "values": {member.name: member.value for member in entity},
        "texts": issubclass(entity, str),
    }


def value_of(entity: Any, value: str) -> str:
    """Look a member of an enum up by its value."""
    return entity.value_of(value).name


def message_class(function: Any, given: Any) -> str:
    """Return the class name of the message built by `function`."""
    return type(function(given)).__name__


OPERATIONS: dict[str, Callable[..., Any]] = {
    operation.__name__: operation
    for operation in (write, build, look, fields, members, value_of, message_class)
}


def find(modules: list[ModuleType], path: str) -> Any:
    """Look an entity up by its name, or a class within it by both names with a dot."""
    name, *inner = path.split(".")
    found = next((vars(module)[name] for module in modules if name in vars(module)), None)
    for name in inner:
        found = getattr(found, name, None)
    return found


def answer(modules: list[ModuleType], request: dict[str, Any]) -> dict[str, Any]:
    """Carry one request out."""
    entity = find(modules, request.pop("entity"))
    if entity is None:
        return {"missing": True}
    operation = OPERATIONS[request.pop("operation")]
    try:
        return {"answer": operation(entity, **request)}
    except Exception as error:  # noqa: BLE001 (whatever the SDK raises is its refusal)
        return {"refused": type(error).__name__, "problem": str(error)}


def say(answers: TextIO, said: dict[str, Any]) -> None:
    """Write one line out."""
    answers.write(json.dumps(said) + "\n")
    answers.flush()


def main() -> None:
    """Answer until the input ends."""
    # The SDK replaces these two when it is imported, and may print.
    requests, answers = sys.stdin, sys.stdout
    sys.stdout = sys.stderr
    try:
        modules = [importlib.import_module(name) for name in MODULES]
        said = {"version": version("dify_plugin")}
    except ImportError as error:
        modules, said = [], {"absent": str(error)}
    say(answers, said)
    for line in requests:
        say(answers, answer(modules, json.loads(line)))


if __name__ == "__main__":
    main()
