"""Reads the `request` object of a reverse invocation; whatever is wrong is named by its field."""

import binascii
from collections.abc import Mapping, Sequence
from typing import Any, cast

from invokeq.protocol.errors import InvalidRequestError
from invokeq.requests.arguments import kind_of

Payload = Mapping[str, Any]


def name_of(payload: Payload, field: str) -> str:
    """Give a text that must be there and say something, such as the name of a model."""
    value = payload.get(field)
    if value is None or value == "":
        raise InvalidRequestError(field=field, problem="is missing or empty")
    return text_in(payload, field)


def text_in(payload: Payload, field: str) -> str:
    """Give a text; one that is missing or null is empty."""
    value = payload.get(field)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidRequestError(field=field, problem=f"must be a text, not {kind_of(value)}")
    return value


def required(payload: Payload, field: str) -> Any:
    """Give whatever it is that must be there."""
    value = payload.get(field)
    if value is None:
        raise InvalidRequestError(field=field, problem="is missing")
    return value


def model_of(payload: Payload, *fields: str) -> dict[str, Any]:
    """Give the model config that is spread out in the payload."""
    config: dict[str, Any] = {name: name_of(payload, name) for name in ("provider", "model")}
    return config | {field: payload.get(field) for field in fields}


def llm_of(payload: Payload) -> dict[str, Any]:
    """Give the model config of an LLM."""
    params: Any = payload.get("completion_params")
    if params is not None and not isinstance(params, Mapping):
        raise InvalidRequestError(
            field="completion_params", problem=f"must be an object, not {kind_of(params)}"
        )
    mode = text_in(payload, "mode") or None
    return {**model_of(payload), "mode": mode, "completion_params": cast(Any, params) or {}}


def flag(payload: Payload, field: str, default: bool) -> bool:
    """Give a true or false; null stands for the default."""
    value = payload.get(field)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise InvalidRequestError(field=field, problem=f"must be true or false, not {value!r:.40}")
    return value


def messages_of(payload: Payload) -> Any:
    """Give the conversation, without the blanks that Dify's daemon fills in.

    It writes `tool_calls: null` and `name: ""` into every message, which vendors would refuse.
    """
    messages = required(payload, "prompt_messages")
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


def tools_of(payload: Payload) -> Sequence[Any] | None:
    """Give the tools; `tool_choice`, which no SDK sends, may say that they are not wanted."""
    choice = payload.get("tool_choice")
    mode = cast(Mapping[str, Any], choice).get("mode") if isinstance(choice, Mapping) else choice
    if mode == "none":
        return None
    if mode not in (None, "", "auto"):
        raise InvalidRequestError(field="tool_choice", problem="must be auto or none")
    return payload.get("tools")


def bytes_of(payload: Payload, field: str) -> bytes:
    """Give what is written as hexadecimal digits."""
    digits = name_of(payload, field)
    try:
        return binascii.unhexlify(digits)
    except ValueError as error:
        raise InvalidRequestError(field=field, problem=f"is not hexadecimal: {error}") from None
