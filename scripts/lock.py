"""Write constraints.txt: pip's resolution of every extra, on each supported Python.

    .venv/bin/python scripts/lock.py python3.11 python3.12 python3.13

Each interpreter resolves in a dry run of the interpreter's own pip. A package with different
versions gets one line a Python, with an environment marker. Index addresses are never written.
"""

import json
import subprocess
import sys
import tomllib
from collections import defaultdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
HEADER = "# The versions that are tested, written by scripts/lock.py; models.txt has the models.\n"
Versions = dict[str, str]


def requirements() -> list[str]:
    """Return every requirement of pyproject.toml: for the build, the base and all extras."""
    pyproject: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = pyproject["project"]
    extras = project["optional-dependencies"].values()
    found: set[str] = {*pyproject["build-system"]["requires"], *project["dependencies"]}
    return sorted(found.union(*extras))


def resolve(python: str) -> tuple[str, Versions]:
    """Return the `major.minor` of an interpreter, and the package versions resolved by pip."""
    # Without --ignore-installed the report would leave out packages that are installed already.
    arguments = ["install", "--quiet", "--dry-run", "--ignore-installed", "--report", "-"]
    command = [python, "-m", "pip", *arguments, *requirements()]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    report = json.loads(answer)
    version = report["environment"]["python_version"]
    metadata = [item["metadata"] for item in report["install"]]
    return version, {str(m["name"]).lower().replace("_", "-"): m["version"] for m in metadata}


def merge(resolved: dict[str, Versions]) -> list[str]:
    """Return the constraint lines for every Python of `resolved`."""
    pythons = sorted(resolved, key=lambda version: [int(part) for part in version.split(".")])
    lines: list[str] = []
    for name in sorted({name for versions in resolved.values() for name in versions}):
        by_version: defaultdict[str, list[str]] = defaultdict(list)
        for python in pythons:
            if name in resolved[python]:
                by_version[resolved[python][name]].append(python)
        if len(by_version) == 1:
            lines.append(f"{name}=={next(iter(by_version))}")
            continue
        for version, users in by_version.items():
            lines.append(f"{name}=={version}; {_marker(users, pythons)}")
    return lines


def _marker(users: list[str], pythons: list[str]) -> str:
    # The newest Python also stands for Pythons yet to be released.
    if users == pythons[-len(users) :]:
        return f"python_version >= '{users[0]}'"
    return " or ".join(f"python_version == '{python}'" for python in users)


def main(interpreters: list[str]) -> None:
    """Resolve with each interpreter and write the merged constraints."""
    lines = merge(dict(resolve(python) for python in interpreters or [sys.executable]))
    (ROOT / "constraints.txt").write_text(HEADER + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
