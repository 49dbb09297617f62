"""Converts parameters from a user to the types declared by a tool.

Texts, as from a command line, are parsed as the type of the parameter. Other values must have the
type already. Every problem is an InvalidRequestError with the name of the parameter.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final, cast

import orjson

from invokeq.dify.model_selector import Scope, complete_selector, select_model
from invokeq.dify.platform.declarations import Parameter, ParameterType
from invokeq.dify.platform.files import FILE_IDENTITY
from invokeq.operations.directory import LiveWorker
from invokeq.protocol.errors import InvalidRequestError

ALL_TOOLS: Final = "*"
"""Stands for all tools of the named plugins."""

_TEXTS: Final = frozenset(
    {ParameterType.STRING, ParameterType.SECRET_INPUT, ParameterType.TEXT_INPUT}
)
_TRUE: Final = frozenset({"true", "yes", "y", "on", "1"})
_FALSE: Final = frozenset({"false", "no", "n", "off", "0", ""})


@dataclass(frozen=True, slots=True)
class ValueContext:
    """Resolves references in values: models of live workers, files, tools of other plugins.

    `file_of` returns the file of a path or an address, `tools_of` the tools of a list of names.
    """

    workers: tuple[LiveWorker, ...]
    file_of: Callable[[str], dict[str, Any]]
    tools_of: Callable[[Sequence[Any] | None], list[dict[str, Any]]]


def read_parameters(
    declared: Sequence[Parameter],
    given: Mapping[str, Any],
    context: ValueContext,
    *,
    strict: bool = True,
) -> dict[str, Any]:
    """Return the values for a call, with defaults for missing parameters.

    An optional parameter without value and default is left out. `NAME.KEY` sets one of the
    `completion_params` of the model-selector NAME. An undeclared name is refused if `strict`, and
    passed on unchanged otherwise.
    """
    # First, because `NAME.KEY` would otherwise count as an undeclared name.
    given, settings = _split_settings(declared, given)
    names = {parameter.name for parameter in declared}
    others = {name: value for name, value in given.items() if name not in names}
    if others and strict:
        raise _unknown(next(iter(others)), names)
    values = dict(others)
    for parameter in declared:
        value = _given_or_default(parameter, given.get(parameter.name))
        if value is not None:
            values[parameter.name] = _Reader(parameter, context).read(value)
        elif parameter.required:
            raise _wrong(parameter, f"is required{_explained(parameter)}")
    for name, chosen in settings.items():
        if name in values:
            params = {**values[name].get("completion_params", {}), **chosen}
            values[name] = {**values[name], "completion_params": params}
    return values


def needs_models(declared: Sequence[Parameter]) -> bool:
    """Return whether a parameter refers to the models of live workers."""
    return any(parameter.type is ParameterType.MODEL_SELECTOR for parameter in declared)


def _given_or_default(parameter: Parameter, value: Any) -> Any:
    if value is not None:
        return value
    if parameter.type is ParameterType.TOOLS and parameter.default is None:
        return [ALL_TOOLS]
    # Authors write `default: ""` for "none"; only for texts is an empty text a value.
    blank = parameter.default == "" and parameter.type not in _TEXTS
    return None if blank else parameter.default


def _split_settings(
    declared: Sequence[Parameter], given: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return plain values, and the `NAME.KEY` settings of model-selectors by NAME."""
    names = {parameter.name: parameter.type for parameter in declared}
    plain: dict[str, Any] = {}
    settings: dict[str, dict[str, Any]] = {}
    for name, value in given.items():
        base, dot, key = name.partition(".")
        if dot and name not in names and names.get(base) is ParameterType.MODEL_SELECTOR:
            settings.setdefault(base, {})[key] = value
        else:
            plain[name] = value
    return plain, settings


class _Reader:
    """Converts the value of one parameter."""

    def __init__(self, parameter: Parameter, context: ValueContext) -> None:
        self._parameter = parameter
        self._context = context

    def read(self, value: Any) -> Any:
        kind = self._parameter.type
        if kind in _JSON_TYPES:
            return self._json(value, _JSON_TYPES[kind])
        return _READERS.get(kind, _Reader.text)(self, value)

    def text(self, value: Any) -> str:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise self._wrong(f"must be a text, not {_shown(value)}")
        return str(value)

    def number(self, value: Any) -> int | float:
        number: int | float | None = None
        # bool is a subclass of int, but true is no number here.
        if isinstance(value, int | float) and not isinstance(value, bool):
            number = value
        elif isinstance(value, str):
            number = _parse_number(value.strip())
        if number is None or not math.isfinite(number):
            raise self._wrong(f"must be a number, not {_shown(value)}")
        low, high = self._parameter.min, self._parameter.max
        if low is not None and number < low:
            raise self._wrong(f"must be at least {low:g}, not {number:g}")
        if high is not None and number > high:
            raise self._wrong(f"must be at most {high:g}, not {number:g}")
        return number

    def boolean(self, value: Any) -> bool:
        if isinstance(value, bool):
            return value
        word = str(value).strip().lower() if isinstance(value, str | int) else None
        if word in _TRUE or word in _FALSE:
            return word in _TRUE
        raise self._wrong(f"must be true or false, not {_shown(value)}")

    def choice(self, value: Any) -> Any:
        if self._parameter.multiple:
            return [self._option(item) for item in self._items(value)]
        return self._option(value)

    def _option(self, value: Any) -> str:
        options = [option.value for option in self._parameter.options or ()]
        text = str(value) if isinstance(value, str | int | float) else None
        if text is None or (options and text not in options):
            raise self._wrong(f"must be one of {', '.join(options)}, not {_shown(value)}")
        return text

    def model(self, value: Any) -> dict[str, Any]:
        scope, name = Scope.parse(self._parameter.scope), f"parameter {self._parameter.name}"
        if isinstance(value, str) and value.lstrip().startswith("{"):
            value = self._json(value, dict)
        if isinstance(value, str):
            return select_model(scope, self._context.workers, value, name)
        if isinstance(value, Mapping):
            written = cast(Mapping[str, Any], value)
            return complete_selector(scope, self._context.workers, written, name)
        raise self._wrong(f"must be PROVIDER/MODEL or a selector's object, not {_shown(value)}")

    def app(self, value: Any) -> Any:
        raise self._wrong("selects an app of Dify, and invokeq serves no apps")

    def tools(self, value: Any) -> list[dict[str, Any]]:
        return self._context.tools_of(self._items(value))

    def files(self, value: Any) -> list[dict[str, Any]]:
        return [self.file(item) for item in self._items(value)]

    def file(self, value: Any) -> dict[str, Any]:
        if isinstance(value, str):
            try:
                return self._context.file_of(value)
            except FileNotFoundError:
                raise self._wrong(f"names no file: {_shown(value)}") from None
        if isinstance(value, Mapping) and "url" in value:
            return {"dify_model_identity": FILE_IDENTITY, **cast(Mapping[str, Any], value)}
        raise self._wrong(f"must be a path or an address, not {_shown(value)}")

    def _items(self, value: Any) -> list[Any]:
        """Return the items of a list, given as JSON, as a text with commas, or as a sequence."""
        if isinstance(value, str):
            if value.lstrip().startswith("["):
                return self._json(value, list)
            return [item.strip() for item in value.split(",") if item.strip()]
        return list(cast(Sequence[Any], value)) if isinstance(value, Sequence) else [value]

    def _json(self, value: Any, kind: type | None) -> Any:
        if isinstance(value, str):
            try:
                value = orjson.loads(value)
            except orjson.JSONDecodeError as error:
                if kind is None:
                    return value
                raise self._wrong(f"must be JSON: {error}") from None
        if kind is not None and not isinstance(value, kind):
            name = "a JSON object" if kind is dict else "a JSON list"
            raise self._wrong(f"must be {name}, not {_shown(value)}")
        return value

    def _wrong(self, problem: str) -> InvalidRequestError:
        return _wrong(self._parameter, problem)


_READERS: Final[Mapping[ParameterType, Callable[[_Reader, Any], Any]]] = {
    ParameterType.NUMBER: _Reader.number,
    ParameterType.BOOLEAN: _Reader.boolean,
    ParameterType.CHECKBOX: _Reader.boolean,
    ParameterType.SELECT: _Reader.choice,
    ParameterType.FILE: _Reader.file,
    ParameterType.FILES: _Reader.files,
    ParameterType.MODEL_SELECTOR: _Reader.model,
    ParameterType.APP_SELECTOR: _Reader.app,
    ParameterType.TOOLS: _Reader.tools,
}
"""By type; types neither here nor in `_JSON_TYPES` are texts."""

_JSON_TYPES: Final[Mapping[ParameterType, type | None]] = {
    ParameterType.OBJECT: dict,
    ParameterType.ARRAY: list,
    ParameterType.ANY: None,
    ParameterType.DATE_RANGE: None,
}


def _parse_number(text: str) -> int | float | None:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return None


def _unknown(name: str, known: set[str]) -> InvalidRequestError:
    close = get_close_matches(name, known, n=1)
    listed = f"there are: {', '.join(sorted(known)) or 'none'}"
    hint = f"did you mean {close[0]}?" if close else listed
    return InvalidRequestError(field=f"parameter {name}", problem=f"is not declared; {hint}")


def _wrong(parameter: Parameter, problem: str) -> InvalidRequestError:
    return InvalidRequestError(field=f"parameter {parameter.name}", problem=problem)


def _explained(parameter: Parameter) -> str:
    options = [option.value for option in parameter.options or ()]
    if options:
        return f": one of {', '.join(options)}"
    if parameter.type is ParameterType.MODEL_SELECTOR:
        return f": PROVIDER/MODEL within the scope {parameter.scope or 'llm'}"
    told = parameter.human_description or parameter.help or parameter.label
    return f": {told.en_US}" if told is not None else ""


def _shown(value: Any) -> str:
    return f"{value!r:.80}"
