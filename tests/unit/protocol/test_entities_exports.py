"""The public surface of the entities: complete, sorted, and light to import."""

import ast
import importlib
import inspect
import pkgutil
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel

from invokeq.protocol import entities

MODULES = sorted(module.name for module in pkgutil.iter_modules(entities.__path__))
ALLOWED = {"pydantic", "invokeq.protocol.entities"}


def test_the_exports_are_sorted_and_there():
    assert entities.__all__ == sorted(set(entities.__all__))
    assert [name for name in entities.__all__ if not hasattr(entities, name)] == []


@pytest.mark.parametrize("name", MODULES)
def test_every_public_class_and_function_is_exported(name: str):
    module = importlib.import_module(f"{entities.__name__}.{name}")
    public = {
        key
        for key, value in vars(module).items()
        if (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__ == module.__name__
        and not key.startswith("_")
    }
    assert public
    assert public <= set(entities.__all__)


@pytest.mark.parametrize("name", MODULES)
def test_a_module_imports_nothing_heavy(name: str):
    path = Path(entities.__path__[0], f"{name}.py")
    imported: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module or "")
    foreign = {
        name
        for name in imported
        if name.split(".")[0] not in sys.stdlib_module_names
        and not any(name == known or name.startswith(f"{known}.") for known in ALLOWED)
    }
    assert foreign == set()


def test_every_entity_is_ready_when_it_is_imported():
    # A validator that is built on first use may be built by two threads at once.
    models = [getattr(entities, name) for name in entities.__all__]
    unready = [
        model.__name__
        for model in models
        if inspect.isclass(model)
        and issubclass(model, BaseModel)
        and not model.__pydantic_complete__
    ]
    assert unready == []
