"""Reads the properties of a model, which are free-form data that an operator may have written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from invokeq.protocol.entities import AIModelEntity, ModelPropertyKey


@dataclass(frozen=True, slots=True)
class Voice:
    """A voice of a model: `value` is what a vendor calls it, `name` what people do."""

    value: str
    name: str


def count_property(facts: AIModelEntity, key: ModelPropertyKey, default: int) -> int:
    """Give a property that counts something, or the default if it is no positive whole number."""
    value = facts.model_properties.get(key)
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    return default


def text_property(facts: AIModelEntity, key: ModelPropertyKey) -> str:
    """Give a property that is a text, or the empty text."""
    value = facts.model_properties.get(key)
    return value if isinstance(value, str) else ""


def voices(facts: AIModelEntity) -> list[Voice]:
    """List the voices of a model; Dify's files say `mode` for what its wire calls `value`."""
    given = facts.model_properties.get(ModelPropertyKey.VOICES)
    if not isinstance(given, Sequence) or isinstance(given, str):
        return []
    found: list[Voice] = []
    for item in cast(Sequence[Any], given):
        if isinstance(item, str):
            found.append(Voice(item, item))
        elif isinstance(item, Mapping):
            table = cast(Mapping[str, Any], item)
            value = table.get("value") or table.get("mode")
            if value:
                found.append(Voice(str(value), str(table.get("name") or value)))
    return found
