"""Finds a Python of a requested version: in pyenv, in PATH, or the running one."""

import os
import re
import shutil
import sys
from pathlib import Path
from typing import Final, NamedTuple

_VERSION: Final = re.compile(r"(\d+)\.(\d+)(?:\.\d+)?")
_NEWEST_MINOR: Final = 20  # the search ends here


class Interpreter(NamedTuple):
    """A Python interpreter and a language version."""

    path: Path
    major: int
    minor: int

    @property
    def version(self) -> str:
        """Return the version, such as `3.12`."""
        return f"{self.major}.{self.minor}"


def find_interpreter(wanted: str) -> Interpreter:
    """Return an interpreter of a version, else of the next newer version, else the running one.

    A version in no known form, such as an empty text, matches the running interpreter.
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
    # pyenv has shims also for versions that are not installed.
    return Path(found) if found is not None and "shims" not in Path(found).parts else None


def _patch(path: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", path.parents[1].name))
