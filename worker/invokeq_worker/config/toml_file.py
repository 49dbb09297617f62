"""Read invokeq.toml, and replace `${NAME}` references by environment variables.

Only string values have references, keys have none. `${NAME}` must be set; `${NAME:-default}` uses
the default when the variable is unset or empty; `$${` is a plain `${`.
"""

import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, cast

from invokeq.protocol.errors import InvalidConfigurationError
from invokeq_worker.config.messages import KeyPath, Problem

_REFERENCE: Final = re.compile(
    r"\$\$\{|\$\{(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\})?"
)
_POSITION: Final = re.compile(
    r"(?P<what>.*) \(at (?P<where>line \d+, column \d+|end of document)\)"
)


def read_toml(path: Path) -> dict[str, Any]:
    """Return a parsed TOML file; raise InvalidConfigurationError with the reason and the line."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        problem = (error.strerror or str(error)).lower()
        raise InvalidConfigurationError(
            source=str(path), setting="file", problem=f"{problem}; name an existing invokeq.toml"
        ) from error
    except UnicodeDecodeError as error:
        raise InvalidConfigurationError(
            source=str(path), setting="file", problem="is not UTF-8 text"
        ) from error
    except tomllib.TOMLDecodeError as error:
        match = _POSITION.fullmatch(str(error))
        where, what = (match["where"], match["what"]) if match else ("file", str(error))
        raise InvalidConfigurationError(
            source=str(path), setting=where, problem=f"is not valid TOML: {what}"
        ) from error


def map_leaves(value: Any, change: Callable[[KeyPath, Any], Any], path: KeyPath = ()) -> Any:
    """Return a copy of a tree of tables and lists, with `change(path, leaf)` for each leaf."""
    if isinstance(value, dict):
        table = cast(dict[str, Any], value)
        return {key: map_leaves(item, change, (*path, key)) for key, item in table.items()}
    if isinstance(value, list):
        items = cast(list[Any], value)
        return [map_leaves(item, change, (*path, index)) for index, item in enumerate(items)]
    return change(path, value)


def expand(
    tables: Mapping[str, Any], env: Mapping[str, str]
) -> tuple[dict[str, Any], list[Problem]]:
    """Replace the references in all strings; return the tables, and a problem for each failure."""
    problems: list[Problem] = []

    def leaf(path: KeyPath, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        return _REFERENCE.sub(lambda match: replacement(path, match), value)

    def replacement(path: KeyPath, match: re.Match[str]) -> str:
        if match[0] == "$${":
            return "${"
        name, default = match["name"], match["default"]
        if name is None:
            problems.append(Problem(path, "has a ${ without a name; a plain ${ is written $${"))
            return match[0]
        if default is not None:
            return env.get(name) or default
        if name not in env:
            text = f"environment variable {name} is not set; set it or write ${{{name}:-default}}"
            problems.append(Problem(path, text))
        return env.get(name, match[0])

    return map_leaves(tables, leaf), problems
