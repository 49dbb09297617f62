"""Every package says what it offers, in one sorted `__all__`."""

from collections import Counter
from importlib import import_module
from types import ModuleType

import pytest

from tests.support.paths import ROOT

SOURCES = [ROOT / "client", ROOT / "worker", ROOT / "providers"]


def package_names() -> list[str]:
    return sorted(
        ".".join(path.parent.relative_to(source).parts)
        for source in SOURCES
        for path in source.rglob("__init__.py")
        # Names of `invokeq.dify` itself import the SDK, which patches the whole process.
        if path.parent.relative_to(source).parts != ("invokeq", "dify")
    )


@pytest.fixture(params=package_names())
def package(request: pytest.FixtureRequest) -> ModuleType:
    return import_module(request.param)


def test_the_three_packages_are_found() -> None:
    assert {"invokeq", "invokeq_worker", "invokeq_providers"} <= set(package_names())


def test_public_names_are_sorted_and_named_once(package: ModuleType) -> None:
    names: list[str] = getattr(package, "__all__", [])
    assert names == sorted(names)
    assert [name for name, count in Counter(names).items() if count > 1] == []


def test_public_names_exist(package: ModuleType) -> None:
    names: list[str] = getattr(package, "__all__", [])
    assert [name for name in names if not hasattr(package, name)] == []
