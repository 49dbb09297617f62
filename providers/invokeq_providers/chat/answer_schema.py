"""Checks of a model's answer against a JSON schema; blocking, made for a thread.

Schema and answer are untrusted, and a thousand other calls share the process. So patterns are
matched in linear time, a check has a bounded number of steps, and no reference leads outside the
schema. Patterns for backtracking engines only (look-around, back-references) are not checked.
`format` is an annotation and checks nothing, as in the standard.
"""

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NoReturn, cast

import orjson
from pydantic_core import SchemaError, SchemaValidator, core_schema

from invokeq.protocol.errors import InvalidRequestError, MissingExtraError
from invokeq_providers.chat.thinking import without_thinking

SCHEMA_FIELD: Final = "structured_output_schema"

MAX_SCHEMA_BYTES: Final = 128 * 1024
"""More than any vendor takes; checking a schema costs about 1 ms for 500 bytes."""

MAX_REPAIR_CHARACTERS: Final = 200_000
"""Upper bound of a repair; repairing a longer answer takes seconds."""

MAX_STEPS: Final = 200_000
"""Upper bound of keywords evaluated for one answer: about a second; most answers need hundreds."""

_SHOWN_CHARACTERS: Final = 60
_DATA_KEYWORDS: Final = frozenset({"const", "default", "enum", "examples"})

Json = dict[str, Any]
Keyword = Callable[[Any, Any, Any, Any], Iterator[Any]]


class UnfitAnswerError(Exception):
    """The answer is no object, or does not obey the schema; `problem` says where."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


def check_schema(schema: Mapping[str, Any]) -> None:
    """Raise `InvalidRequestError` for an invalid schema.

    Refused are also schemas of other types than objects, and references outside the schema.
    """
    try:
        text = orjson.dumps(schema)
    except TypeError:
        _refuse("is nested too deeply, or has a number that is too large")
    if len(text) > MAX_SCHEMA_BYTES:
        _refuse(f"is {len(text)} bytes long; the bound is {MAX_SCHEMA_BYTES}")
    try:
        _check_text(text)
    except RecursionError:
        _refuse("is nested too deeply")


@lru_cache(maxsize=256)
def _check_text(text: bytes) -> None:
    schema: Json = orjson.loads(text)
    jsonschema = _library("jsonschema")
    try:
        _validator_class(schema).check_schema(schema)
    except jsonschema.SchemaError as error:
        _refuse(f"is no JSON schema: {error.json_path} cannot be {_show(error.instance)}")
    kinds = schema.get("type", "object")
    if "object" not in ([kinds] if isinstance(kinds, str) else kinds):
        _refuse(f"must describe an object, not {_show(kinds)}")
    _check_references(schema)
    if b'"unevaluatedProperties"' in text and b'"patternProperties"' in text:
        _refuse("has unevaluatedProperties and patternProperties, which cannot be checked together")


def read_answer(text: str, schema: Mapping[str, Any], *, complete: bool = True) -> Json:
    """Return the object in the text of an answer, checked against the schema.

    Broken JSON is repaired if the answer is `complete`: a repaired cut-off answer would pass for
    the whole. Raises `UnfitAnswerError`.
    """
    answer = _first_object(_parse(without_thinking(text), complete))
    try:
        problem = _problem(answer, schema)
    except RecursionError:
        raise UnfitAnswerError("it is nested too deeply, or its schema has no end") from None
    if problem is not None:
        raise UnfitAnswerError(problem)
    return answer


def _parse(text: str, complete: bool) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        pass
    if not complete:
        raise UnfitAnswerError("it was cut off; the model needs a larger max_tokens")
    if len(text) > MAX_REPAIR_CHARACTERS:
        raise UnfitAnswerError("it is no JSON, and too long to be repaired")
    try:
        # Through orjson again: a repair may give what JSON cannot say, NaN or endless integers.
        return orjson.loads(orjson.dumps(_library("json_repair").loads(text)))
    except (RecursionError, TypeError, ValueError):
        raise UnfitAnswerError("it is no JSON, and cannot be repaired") from None


def _first_object(value: Any) -> Json:
    """Return the first object; some models wrap the object in a list."""
    items = cast(list[Any], value) if isinstance(value, list) else [value]
    for item in items:
        if isinstance(item, dict):
            return cast(Json, item)
    raise UnfitAnswerError("it is no JSON object")


def _problem(answer: Json, schema: Mapping[str, Any]) -> str | None:
    """Return the first problem of an answer, None for an answer that obeys the schema."""
    jsonschema, referencing = _library("jsonschema"), _library("referencing")
    cls = _validator_class(schema)
    keywords: dict[str, Keyword] = {**cls.VALIDATORS, **_LINEAR}
    steps = _Steps()
    bounded = {name: steps.counted(check) for name, check in keywords.items()}
    # An empty registry: the library's default would fetch remote references over the network.
    validator = jsonschema.validators.extend(cls, bounded)(schema, registry=referencing.Registry())
    try:
        error = jsonschema.exceptions.best_match(validator.iter_errors(answer))
    except referencing.exceptions.Unresolvable as unresolvable:
        _refuse(f"has a $ref that leads nowhere: {_show(unresolvable.ref)}")
    return None if error is None else _place(error)


class _Steps:
    """Counter of the steps of a check, with an end for endless checks."""

    def __init__(self) -> None:
        self._left = MAX_STEPS

    def counted(self, check: Keyword) -> Keyword:
        def bounded(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any]:
            self._left -= 1
            if self._left < 0:
                _refuse(f"takes more than {MAX_STEPS} steps to check an answer")
            yield from check(validator, value, instance, schema) or ()

        return bounded


def _pattern(validator: Any, pattern: Any, instance: Any, _schema: Any) -> Iterator[Any]:
    if validator.is_type(instance, "string") and not _matches(pattern, instance, unknown=True):
        yield _library("jsonschema").ValidationError("does not match")


def _pattern_properties(
    validator: Any, patterns: Any, instance: Any, _schema: Any
) -> Iterator[Any]:
    if not validator.is_type(instance, "object"):
        return
    for pattern, below in patterns.items():
        for name, value in instance.items():
            if _matches(pattern, name, unknown=False):
                yield from validator.descend(value, below, path=name, schema_path=pattern)


def _additional_properties(validator: Any, below: Any, instance: Any, schema: Any) -> Iterator[Any]:
    if not validator.is_type(instance, "object"):
        return
    known = schema.get("properties", {})
    patterns: Sequence[str] = list(schema.get("patternProperties", {}))
    for name, value in instance.items():
        if name in known or any(_matches(pattern, name, unknown=True) for pattern in patterns):
            continue
        if below is False:  # the library would forget which one
            yield _library("jsonschema").ValidationError("is one too many", path=(name,))
        else:
            yield from validator.descend(value, below, path=name)


def _unique_items(validator: Any, wanted: Any, instance: Any, _schema: Any) -> Iterator[Any]:
    if wanted and validator.is_type(instance, "array"):
        different = {orjson.dumps(item, option=orjson.OPT_SORT_KEYS) for item in instance}
        if len(different) < len(instance):
            yield _library("jsonschema").ValidationError("has an item twice")


# The library's own match with Python's engine, which a few characters can keep busy for years, and
# compare every item with every other.
_LINEAR: Final[Mapping[str, Keyword]] = {
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional_properties,
    "uniqueItems": _unique_items,
}


def _matches(pattern: str, text: str, *, unknown: bool) -> bool:
    """Return whether a text matches a pattern; `unknown` for patterns without linear time."""
    matcher = _matcher(pattern)
    return unknown if matcher is None else matcher.isinstance_python(text)


@lru_cache(maxsize=256)
def _matcher(pattern: str) -> SchemaValidator | None:
    try:
        return SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex"))
    except SchemaError:
        return None


def _check_references(schema: Json) -> None:
    """Raise `InvalidRequestError` for references outside the schema, before a vendor is paid."""
    referencing = _library("referencing")
    dialect = importlib.import_module("referencing.jsonschema").DRAFT202012
    root = dialect.create_resource(schema)
    resolver = referencing.Registry().resolver_with_root(root)
    own = {key: value for key, value in schema.items() if key != "$id"}
    for reference in _references(own):
        try:
            resolver.lookup(reference)
        except referencing.exceptions.Unresolvable:
            _refuse(f"has a $ref that leads nowhere: {_show(reference)}")


def _references(node: Any) -> Iterator[str]:
    """Yield the references below a node, except in parts with an `$id`: an `$id` moves the base."""
    if isinstance(node, list):
        for item in cast(list[Any], node):
            yield from _references(item)
    elif isinstance(node, dict) and not isinstance(cast(Json, node).get("$id"), str):
        for key, value in cast(Json, node).items():
            if key == "$ref" and isinstance(value, str):
                yield value
            elif key not in _DATA_KEYWORDS:
                yield from _references(value)


def _validator_class(schema: Mapping[str, Any]) -> Any:
    jsonschema = _library("jsonschema")
    return jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)


def _place(error: Any) -> str:
    """Return the place and the rule of an error; never the value, which is private."""
    rule = f"{error.validator} {_show(error.validator_value)}"
    return f"{_show(error.json_path)} does not obey {rule}"


def _show(value: Any) -> str:
    text = value if isinstance(value, str) else orjson.dumps(value, default=str).decode()
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


def _refuse(problem: str) -> NoReturn:
    raise InvalidRequestError(field=SCHEMA_FIELD, problem=problem)


def _library(name: str) -> Any:
    """Import a library on first use, by name, because the libraries have no types."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        package = name.replace("_", "-")
        raise MissingExtraError(
            feature="structured output", package=package, extra="worker"
        ) from None
