"""Describe mistakes in invokeq.toml, one line each: the setting, and the remedy.

No line repeats a value, which could be a credential.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final, NamedTuple, TypeAlias, get_args, get_origin

from pydantic import BaseModel, ValidationError

_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_/-]+")

# By pydantic's error type; the fields are those of the error's context.
_TEXTS: Final[Mapping[str, str]] = {
    "missing": "is missing",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_type": "must be a string",
    "tuple_type": "must be a list",
    "model_type": "must be a table",
    "model_attributes_type": "must be a table",
    "dict_type": "must be a table",
    "literal_error": "must be {expected}",
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "too_short": "must not be empty",
    "value_error": "{error}",
}


KeyPath: TypeAlias = tuple[str | int, ...]
"""The place of a value: keys of tables and indexes of lists, from the top of the file."""


class Problem(NamedTuple):
    """One mistake: the path of the setting, and the remedy."""

    path: KeyPath
    text: str

    @property
    def setting(self) -> str:
        """The path in the notation of TOML: `pools.llm.queues[0]`."""
        dotted = ""
        for step in self.path:
            if isinstance(step, int):
                dotted += f"[{step}]"
            else:
                quoted = step if _BARE_KEY.fullmatch(step) else f'"{step}"'
                dotted += f".{quoted}" if dotted else quoted
        return dotted


def suggest(name: str, known: Iterable[str]) -> str:
    """Return a hint: the known name closest to `name`, else all known names."""
    names = sorted(known)
    close = get_close_matches(name, names, n=1)
    if close:
        return f"did you mean {close[0]}?"
    return f"there are: {', '.join(names) or 'none'}"


def explain(error: ValidationError, model: type[BaseModel]) -> list[Problem]:
    """Return the problems found by pydantic in `model`, in the same order."""
    found = error.errors(include_url=False, include_input=False)
    problems = [_explain_one(details["loc"], details, model) for details in found]
    return [problem for problem in problems if not any(_is_within(p, problem) for p in problems)]


def _is_within(inner: Problem, outer: Problem) -> bool:
    # A list whose items are all wrong is also found to be empty.
    return inner.path != outer.path and inner.path[: len(outer.path)] == outer.path


def _explain_one(path: KeyPath, details: Mapping[str, Any], model: type[BaseModel]) -> Problem:
    if path and path[-1] == "[key]":
        path = path[:-1]
    if details["type"] == "extra_forbidden":
        table = _table_at(model, path[:-1])
        return Problem(path, f"no such setting; {suggest(str(path[-1]), table.model_fields)}")
    text: str | None = _TEXTS.get(details["type"])
    if text is None:
        return Problem(path, details["msg"])
    return Problem(path, text.format_map(details.get("ctx", {})))


def _table_at(model: type[BaseModel], path: Sequence[str | int]) -> type[BaseModel]:
    annotation: Any = model
    for step in path:
        if get_origin(annotation) is dict:
            annotation = get_args(annotation)[1]
        else:
            annotation = annotation.model_fields[step].annotation
    return annotation
