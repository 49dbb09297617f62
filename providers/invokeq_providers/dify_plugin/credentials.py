"""Check credentials against a plugin's form for credentials.

Values of a form are text, except for switches. As on the platform, choices are checked, defaults
are filled in, and fields shown for other model types only are left out. No message quotes a value.
"""

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

from pydantic import BaseModel

from invokeq.protocol.entities import ModelType
from invokeq.protocol.errors import CredentialsError

_MODEL_TYPE: Final = "__model_type"  # a field that the platform adds to every form of a model
_MODEL_NAME: Final = "__model_name"


class FieldType(StrEnum):
    """The type of a field in a form."""

    TEXT = "text-input"
    SECRET = "secret-input"
    SELECT = "select"
    RADIO = "radio"
    SWITCH = "switch"


class _Condition(BaseModel):
    variable: str
    value: str


class _Option(BaseModel, coerce_numbers_to_str=True):
    value: str


class FormField(BaseModel, coerce_numbers_to_str=True):
    """One field of a form."""

    variable: str
    type: FieldType = FieldType.TEXT
    required: bool = True
    default: str | None = None
    options: list[_Option] | None = None
    max_length: int = 0
    show_on: list[_Condition] = []


def fill_form(
    form: Sequence[FormField],
    given: Mapping[str, Any],
    *,
    provider: str,
    model_type: ModelType | None = None,
    model: str | None = None,
) -> dict[str, Any]:
    """Return the credentials in the form that the plugin expects.

    Raise CredentialsError for an unknown, missing or invalid field; the error quotes no value.
    """
    known = [field.variable for field in form]
    unknown = sorted(given.keys() - set(known))
    if unknown:
        problem = f"there is no {unknown[0]}; there are: {', '.join(known) or 'none'}"
        raise CredentialsError(provider=provider, model=model, problem=problem)
    filled: dict[str, Any] = {}
    special = {_MODEL_TYPE: model_type.value if model_type else None, _MODEL_NAME: model}
    for field in form:
        # A condition may name a field further up, so the values so far count.
        seen = {**special, **filled}
        if any(seen.get(c.variable) != c.value for c in field.show_on):
            continue
        value = _text(given.get(field.variable))
        if value is None or value == "":
            value = field.default
        problem = _problem(field, value)
        if problem is not None:
            problem = f"{field.variable} {problem}"
            raise CredentialsError(provider=provider, model=model, problem=problem)
        if value is not None:
            filled[field.variable] = (
                value.lower() == "true" if field.type is FieldType.SWITCH else value
            )
    return filled


def secrets_in(form: Sequence[FormField], filled: Mapping[str, Any]) -> Iterator[str]:
    """Yield the values of the fields declared secret by the plugin."""
    for field in form:
        value = filled.get(field.variable)
        if field.type is FieldType.SECRET and isinstance(value, str):
            yield value


def _text(value: Any) -> str | None:
    if isinstance(value, bool):
        return str(value).lower()
    return None if value is None else str(value)


def _problem(field: FormField, value: str | None) -> str | None:
    if value is None:
        return "is missing" if field.required else None
    if field.max_length and len(value) > field.max_length:
        return f"is longer than {field.max_length} characters"
    if field.type is FieldType.SWITCH and value.lower() not in {"true", "false"}:
        return "must be true or false"
    choices = [option.value for option in field.options or ()]
    if field.type in {FieldType.SELECT, FieldType.RADIO} and value not in choices:
        return f"must be one of: {', '.join(choices)}"
    return None
