"""What a plugin asks to have installed: its pyproject.toml or requirements.txt, and its uv.lock."""

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
        """Name the environment that these lines make with a version of Python."""
        text = f"{python}\0{self.wanted}\0{self.locked}"
        return hashlib.sha256(text.encode()).hexdigest()[:32]


def read_requirements(package: PluginPackage) -> Requirements:
    """Read what the plugin needs: of its pyproject.toml if that lists any, else requirements.txt.

    Raises InvalidConfigurationError for a plugin that says nothing, or nothing that can be read.
    """
    directory = package.directory
    wanted = _dependencies(directory / "pyproject.toml")
    if wanted is None:
        try:
            wanted = (directory / "requirements.txt").read_text(encoding="utf-8")
        except OSError:
            problem = "there is none, nor a pyproject.toml that lists dependencies"
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
    """Pin what the lock file pins to one version, from an index; pip knows no other way to it."""
    versions: dict[str, set[str]] = defaultdict(set)
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
