"""Reads the parameters and credentials of a plugin's call from the command line."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, cast

import orjson

from invokeq.protocol.errors import InvalidRequestError

OF_FILE: Final = "@"

SETTING: Final = "."
"""Separates the name of a model-selector from a parameter of the model."""

OF_ENVIRONMENT: Final = "env:"


def read_given(texts: Iterable[str], json_texts: Iterable[str]) -> dict[str, Any]:
    """Parse `KEY=VALUE` and `KEY=JSON` pairs; a key may be given once.

    Values stay texts, because the types of parameters are unknown here. The settings of a model,
    `KEY.SETTING=VALUE`, are parsed as in `invokeq invoke llm`.
    """
    given: dict[str, Any] = {}
    for option, pairs in (("--param", texts), ("--param-json", json_texts)):
        for pair in pairs:
            key, value = _split(option, pair)
            if key in given:
                raise InvalidRequestError(field=option, problem=f"gives {key} twice")
            if option == "--param-json":
                given[key] = _parsed(option, key, value)
            else:
                given[key] = _json_or_text(value) if SETTING in key else value
    return given


def _json_or_text(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def read_credentials(
    texts: Iterable[str], env: Mapping[str, str] = os.environ
) -> dict[str, dict[str, Any]]:
    """Return credentials by provider; credentials without a provider are under the empty name.

    Raises InvalidRequestError, never with a value in the text.
    """
    found: dict[str, dict[str, Any]] = {}
    for text in texts:
        pairs = _of_file(text[1:]) if text.startswith(OF_FILE) else [_split("--credentials", text)]
        for key, value in pairs:
            provider, _, name = key.rpartition(":")
            found.setdefault(provider, {})[name] = _of_environment(value, env)
    return found


def _of_file(name: str) -> list[tuple[str, Any]]:
    """Return the pairs of a file: a JSON object, or lines `KEY=VALUE`."""
    try:
        text = Path(name).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InvalidRequestError(field=name, problem="is not UTF-8 text") from None
    if text.lstrip().startswith("{"):
        try:
            parsed = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            # The message quotes no content, which may be a credential.
            raise InvalidRequestError(
                field=name, problem=f"is not JSON: line {error.lineno}, column {error.colno}"
            ) from None
        return list(cast(dict[str, Any], parsed).items())
    lines = [line.strip() for line in text.splitlines()]
    return [_split(name, line) for line in lines if line and not line.startswith("#")]


def _of_environment(value: Any, env: Mapping[str, str]) -> Any:
    if not isinstance(value, str) or not value.startswith(OF_ENVIRONMENT):
        return value
    name = value.removeprefix(OF_ENVIRONMENT)
    if name not in env:
        raise InvalidRequestError(
            field="--credentials", problem=f"names the variable {name!r}, which is not set"
        )
    return env[name]


def _split(option: str, text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key.strip() or not equals:
        # The message quotes no text, which may be a credential.
        raise InvalidRequestError(field=option, problem="must look like KEY=VALUE")
    return key.strip(), value


def _parsed(option: str, key: str, text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidRequestError(
            field=f"{option} {key}", problem=f"is not JSON: {error}"
        ) from None
