"""The requirements of a plugin: pyproject.toml or requirements.txt, and uv.lock."""

import hashlib
import tomllib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from invokeq.dify.plugins.package import PluginPackage
from invokeq.protocol.errors import InvalidConfigurationError


@dataclass(frozen=True, slots=True)
class Requirements:
    """Lines for pip: `wanted` as in a requirements file, `locked` as in a constraints file."""

    wanted: str
    locked: str

    def digest(self, python: str) -> str:
        """Return the name of the environment made of the lines and a Python."""
        text = f"{python}\0{self.wanted}\0{self.locked}"
        return hashlib.sha256(text.encode()).hexdigest()[:32]


def read_requirements(package: PluginPackage) -> Requirements:
    """Read the dependencies of pyproject.toml, or requirements.txt if there are none.

    Raises InvalidConfigurationError if both are missing or cannot be parsed.
    """
    directory = package.directory
    wanted = _dependencies(directory / "pyproject.toml")
    if wanted is None:
        try:
            wanted = (directory / "requirements.txt").read_text(encoding="utf-8")
        except OSError:
            problem = "is missing, and no pyproject.toml lists dependencies"
            raise InvalidConfigurationError(
                source=str(directory), setting="requirements.txt", problem=problem
            ) from None
    lock = directory / "uv.lock"
    return Requirements(wanted, _pins(lock) if lock.is_file() else "")


def _dependencies(file: Path) -> str | None:
    project = _toml(file).get("project") if file.is_file() else None
    if not isinstance(project, dict) or "dependencies" not in project:
        return None
    listed = cast(dict[str, Any], project)["dependencies"]
    if not isinstance(listed, list):
        raise InvalidConfigurationError(
            source=str(file), setting="project.dependencies", problem="must be a list"
        )
    return "".join(f"{line}\n" for line in cast(list[Any], listed))


def _pins(file: Path) -> str:
    """Return pins for packages from an index with a single version in the lock file."""
    versions: dict[str, set[str]] = defaultdict(set)
    # A package locked in several versions has markers per platform, which a pin cannot express.
    for entry in cast(list[Mapping[str, Any]], _toml(file).get("package") or []):
        if "registry" in (entry.get("source") or {}):
            versions[str(entry.get("name"))].add(str(entry.get("version")))
    return "".join(f"{name}=={v}\n" for name, (v, *more) in sorted(versions.items()) if not more)


def _toml(file: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidConfigurationError(
            source=str(file), setting="file", problem=f"is not TOML ({error})"
        ) from None
