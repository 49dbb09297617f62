"""Finds a Python of the version that a plugin asks for: this one, one in PATH, or one of pyenv."""

import os
import re
import shutil
import sys
from pathlib import Path
from typing import Final, NamedTuple

_VERSION: Final = re.compile(r"(\d+)\.(\d+)(?:\.\d+)?")
_NEWEST_MINOR: Final = 20  # beyond which nobody looks


class Interpreter(NamedTuple):
    """A Python, and the version of its language."""

    path: Path
    major: int
    minor: int

    @property
    def version(self) -> str:
        """As in `3.12`."""
        return f"{self.major}.{self.minor}"


def find_interpreter(wanted: str) -> Interpreter:
    """Give the interpreter of a version, else of the next newer one, else the one that runs.

    A version that cannot be read, such as an empty one, is any.
    """
    running = Interpreter(Path(sys.executable), *sys.version_info[:2])
    match = _VERSION.match(wanted.strip())
    if match is None:
        return running
    major, minor = int(match[1]), int(match[2])
    for candidate in range(minor, _NEWEST_MINOR):
        if (running.major, running.minor) == (major, candidate):
            return running
        path = _installed(f"{major}.{candidate}")
        if path is not None:
            return Interpreter(path, major, candidate)
    return running


def _installed(version: str) -> Path | None:
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    of_pyenv = sorted(root.glob(f"{version}.*/bin/python"), key=_patch, reverse=True)
    if of_pyenv:
        return of_pyenv[0]
    found = shutil.which(f"python{version}")
    # pyenv's shims stand for versions that may not be there.
    return Path(found) if found is not None and "shims" not in Path(found).parts else None


def _patch(path: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", path.parents[1].name))
