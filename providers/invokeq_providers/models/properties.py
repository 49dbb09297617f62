"""Properties of a model: free-form data, maybe written by an operator, so never trusted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from invokeq.protocol.entities import AIModelEntity, ModelPropertyKey


@dataclass(frozen=True, slots=True)
class Voice:
    """A voice of a model: `value` is the vendor's id, `name` the display name."""

    value: str
    name: str


def count_property(facts: AIModelEntity, key: ModelPropertyKey, default: int) -> int:
    """Return a property as a count; the default unless the value is a positive whole number."""
    value = facts.model_properties.get(key)
    # A bool is an int to Python: `max_chunks = true` must not mean 1.
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    return default


def text_property(facts: AIModelEntity, key: ModelPropertyKey) -> str:
    """Return a property as a text, empty unless the value is a text."""
    value = facts.model_properties.get(key)
    return value if isinstance(value, str) else ""


def voices(facts: AIModelEntity) -> list[Voice]:
    """Return the voices of a model; Dify's files write `mode`, Dify's wire writes `value`."""
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
