"""Reads the `request` object of a reverse invocation.

Every function raises InvalidRequestError with the name of a wrong field.
"""

import binascii
from collections.abc import Mapping, Sequence
from typing import Any, cast

from invokeq.protocol.errors import InvalidRequestError
from invokeq.requests.arguments import kind_of

Payload = Mapping[str, Any]


def read_name(payload: Payload, field: str) -> str:
    """Return a required, non-empty text, such as the name of a model."""
    value = payload.get(field)
    if value is None or value == "":
        raise InvalidRequestError(field=field, problem="is missing or empty")
    return read_text(payload, field)


def read_text(payload: Payload, field: str) -> str:
    """Return a text; a missing or null field is an empty text."""
    value = payload.get(field)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidRequestError(field=field, problem=f"must be a text, not {kind_of(value)}")
    return value


def read_required(payload: Payload, field: str) -> Any:
    """Return a required value of any type."""
    value = payload.get(field)
    if value is None:
        raise InvalidRequestError(field=field, problem="is missing")
    return value


def read_model_config(payload: Payload, *fields: str) -> dict[str, Any]:
    """Return the model config from the top level of the payload."""
    config: dict[str, Any] = {name: read_name(payload, name) for name in ("provider", "model")}
    return config | {field: payload.get(field) for field in fields}


def read_llm_config(payload: Payload) -> dict[str, Any]:
    """Return the model config of an LLM."""
    params: Any = payload.get("completion_params")
    if params is not None and not isinstance(params, Mapping):
        raise InvalidRequestError(
            field="completion_params", problem=f"must be an object, not {kind_of(params)}"
        )
    mode = read_text(payload, "mode") or None
    config = read_model_config(payload)
    return {**config, "mode": mode, "completion_params": cast(Any, params) or {}}


def read_flag(payload: Payload, field: str, default: bool) -> bool:
    """Return a boolean; null stands for the default."""
    value = payload.get(field)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise InvalidRequestError(field=field, problem=f"must be true or false, not {value!r:.40}")
    return value


def read_messages(payload: Payload) -> Any:
    """Return the conversation without the blank fields added by Dify's daemon.

    The daemon writes `tool_calls: null` and `name: ""` into every message. Vendors refuse both.
    """
    messages = read_required(payload, "prompt_messages")
    if not isinstance(messages, list):
        return messages
    return [_without_blanks(message) for message in cast(list[Any], messages)]


def _without_blanks(message: Any) -> Any:
    if not isinstance(message, Mapping):
        return message
    blanks = {"tool_calls": None, "name": ""}
    fields = cast(Mapping[str, Any], message)
    return {
        key: value for key, value in fields.items() if key not in blanks or value != blanks[key]
    }


def read_tools(payload: Payload) -> Sequence[Any] | None:
    """Return the tools, or None if `tool_choice` is none; no SDK sends a `tool_choice`."""
    choice = payload.get("tool_choice")
    mode = cast(Mapping[str, Any], choice).get("mode") if isinstance(choice, Mapping) else choice
    if mode == "none":
        return None
    if mode not in (None, "", "auto"):
        raise InvalidRequestError(field="tool_choice", problem="must be auto or none")
    return payload.get("tools")


def read_bytes(payload: Payload, field: str) -> bytes:
    """Return bytes, given as hexadecimal digits."""
    digits = read_name(payload, field)
    try:
        return binascii.unhexlify(digits)
    except ValueError as error:
        raise InvalidRequestError(field=field, problem=f"is not hexadecimal: {error}") from None
