"""The documented faces: what they list, and that their signatures mention public types only."""

import ast
import inspect
import json
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, cast, get_args, get_type_hints

import pytest

from tests.support.paths import ROOT

FACES = [
    "invokeq",
    "invokeq.backwards",
    "invokeq.entities",
    "invokeq.errors",
    "invokeq.protocol.codec",
    "invokeq.protocol.entities",
    "invokeq.protocol.errors",
    "invokeq.protocol.events",
    "invokeq.protocol.requests",
    "invokeq.testing",
]
SOURCES = ("client", "worker", "providers")
OURS = ("invokeq", "invokeq_worker", "invokeq_providers")

LISTED = """
import json, invokeq.dify
print(json.dumps(list(invokeq.dify.__all__)))
"""


@pytest.mark.parametrize("name", FACES)
def test_a_face_lists_its_names_in_order(name: str) -> None:
    face = import_module(name)
    names: list[str] = face.__all__
    assert names == sorted(set(names))
    assert [name for name in names if not hasattr(face, name)] == []


def test_the_dify_face_lists_its_names_in_order() -> None:
    # In a process of its own: the SDK patches the whole process for gevent.
    command = [sys.executable, "-c", LISTED]
    ran = subprocess.run(command, check=True, capture_output=True, text=True)
    names: list[str] = json.loads(ran.stdout.splitlines()[-1])
    assert names == sorted(set(names))


@pytest.mark.parametrize("name", FACES)
def test_every_type_of_a_public_signature_can_be_imported(name: str) -> None:
    public = {id(getattr(face, n)) for face in map(import_module, FACES) for n in face.__all__}
    missing = {
        f"{where}: {kind.__module__}.{kind.__qualname__}"
        for where, kind in mentioned_types(import_module(name))
        if id(kind) not in public
    }
    assert sorted(missing) == []


def test_other_packages_say_that_they_are_internal() -> None:
    silent = {
        package
        for package in packages()
        if not any("Internal:" in documentation(parent) for parent in with_parents(package))
    }
    assert silent <= {"invokeq", "invokeq.dify", *FACES}


def packages() -> list[str]:
    return [
        ".".join(path.parent.relative_to(ROOT / source).parts)
        for source in SOURCES
        for path in (ROOT / source).rglob("__init__.py")
    ]


def with_parents(package: str) -> Iterator[str]:
    parts = package.split(".")
    yield from (".".join(parts[:count]) for count in range(len(parts), 0, -1))


def documentation(package: str) -> str:
    folders = [ROOT / source / Path(*package.split(".")) for source in SOURCES]
    (file,) = (folder / "__init__.py" for folder in folders if folder.exists())
    return ast.get_docstring(ast.parse(file.read_text())) or ""


def mentioned_types(face: ModuleType) -> Iterator[tuple[str, type[Any]]]:
    """Yield the classes of ours in the signatures of a face, with where each is mentioned."""
    for name in face.__all__:
        value = getattr(face, name)
        if inspect.isclass(value):
            for method, function in inspect.getmembers(value, inspect.isfunction):
                if function.__module__.split(".")[0] in OURS and is_public(name, method):
                    yield from hinted(f"{name}.{method}", function)
            if value.__module__.split(".")[0] in OURS:
                yield from hinted(name, value)
        elif inspect.isfunction(value):
            yield from hinted(name, value)


def is_public(owner: str, method: str) -> bool:
    # Only sessions are made by callers; the rest of the stateful classes are made by sessions.
    return not method.startswith("_") or (method == "__init__" and owner.endswith("Session"))


def hinted(where: str, value: Any) -> Iterator[tuple[str, type[Any]]]:
    for name, hint in get_type_hints(value).items():
        if not name.startswith("_"):
            yield from ((where, kind) for kind in classes_of(hint))


def classes_of(hint: Any) -> Iterator[type[Any]]:
    if (
        inspect.isclass(hint)
        and hint.__module__.split(".")[0] in OURS
        and "." not in hint.__qualname__
    ):
        yield hint
    for part in get_args(hint):
        inner: list[Any] = cast(Any, part) if isinstance(part, list) else [part]
        for each in inner:
            yield from classes_of(each)
