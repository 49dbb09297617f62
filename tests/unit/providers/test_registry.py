"""Finding providers by entry point, table and name."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from invokeq.protocol.entities import AIModelEntity
from invokeq.protocol.errors import (
    CredentialsError,
    InvalidConfigurationError,
    MissingExtraError,
    ProviderNotFoundError,
)
from invokeq_providers import (
    Provider,
    build_providers,
    canonical_provider,
    find_provider,
    provider_types,
)
from invokeq_providers.scripted import ScriptedProvider


class ThirdParty(Provider):
    """A provider of another distribution."""

    def models(self) -> Sequence[AIModelEntity]:
        return []


@pytest.fixture
def third_party(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a distribution with entry points, right and wrong."""
    folder = tmp_path / "acme_invokeq-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-invokeq\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(
        "[invokeq.providers]\n"
        f"acme = {__name__}:ThirdParty\n"
        "lost = acme_lost:Provider\n"
        "wrong = pathlib:Path\n"
        "bare = invokeq_providers.no_such_vendor:Provider\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(sys.modules, __name__, sys.modules[ThirdParty.__module__])


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("openai", "openai"),
        ("langgenius/openai/openai", "openai"),
        ("langgenius/gemini/google", "google"),
        ("langgenius/google/google", "langgenius/google/google"),
        ("langgenius/openai/other", "langgenius/openai/other"),
        ("acme/openai/openai", "acme/openai/openai"),
        ("langgenius/openai", "langgenius/openai"),
        ("", ""),
    ],
)
def test_the_short_name_of_a_provider(name: str, canonical: str) -> None:
    assert canonical_provider(name) == canonical
    assert canonical_provider(canonical) == canonical


def test_ours_are_installed() -> None:
    assert {"local", "openai", "scripted"} <= provider_types().keys()


def test_the_type_is_the_name_by_default() -> None:
    providers = build_providers({"scripted": {}, "fake": {"type": "scripted", "rate": 5.0}})
    assert list(providers) == ["scripted", "fake"]
    assert all(isinstance(provider, ScriptedProvider) for provider in providers.values())
    assert providers["fake"].name == "fake"
    assert providers["fake"].options == {"rate": 5.0}


def test_a_provider_is_found_by_either_name() -> None:
    providers = build_providers({"langgenius/scripted/scripted": {}})
    assert find_provider(providers, "scripted") is providers["scripted"]
    assert find_provider(providers, "langgenius/scripted/scripted") is providers["scripted"]


def test_an_unknown_provider_lists_the_known() -> None:
    with pytest.raises(ProviderNotFoundError, match="there are: scripted"):
        find_provider(build_providers({"scripted": {}}), "acme")


def test_a_name_may_not_be_configured_twice() -> None:
    with pytest.raises(InvalidConfigurationError, match="configured already"):
        build_providers({"scripted": {}, "langgenius/scripted/scripted": {}})


def test_an_unknown_type_lists_the_known() -> None:
    with pytest.raises(InvalidConfigurationError, match=r"providers\.x\.type.*openai") as caught:
        build_providers({"x": {"type": "opnai"}})
    assert caught.value.setting == "providers.x.type"


@pytest.mark.usefixtures("third_party")
def test_others_register_theirs() -> None:
    assert type(build_providers({"acme": {"key": 1}})["acme"]).__name__ == "ThirdParty"


@pytest.mark.usefixtures("third_party")
def test_only_what_is_configured_is_imported() -> None:
    build_providers({"scripted": {}})
    assert "acme_lost" not in sys.modules


@pytest.mark.usefixtures("third_party")
@pytest.mark.parametrize(
    ("type_name", "error", "words"),
    [
        ("lost", InvalidConfigurationError, "acme_lost"),
        ("wrong", InvalidConfigurationError, "not a Provider"),
        ("bare", MissingExtraError, "no_such_vendor"),
    ],
)
def test_a_type_that_cannot_be_loaded(type_name: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        build_providers({"x": {"type": type_name}})


@pytest.mark.parametrize(
    ("vendor", "package"),
    [
        ("anthropic", "anthropic"),
        ("anthropic", "httpx2"),
        ("cohere", "cohere"),
        ("jina", "httpx2"),
        ("openai", "openai"),
    ],
)
def test_a_missing_package_names_its_extra(
    monkeypatch: pytest.MonkeyPatch, vendor: str, package: str
) -> None:
    for loaded in [name for name in sys.modules if name.startswith("invokeq_providers.")]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, package, None)
    words = rf"provider {vendor} needs {package}: pip install 'invokeq\[{vendor}\]'"
    with pytest.raises(MissingExtraError, match=words):
        build_providers({vendor: {"api_key": "sk-x"}})


@pytest.mark.parametrize(
    ("options", "setting", "words"),
    [
        ({"api_kee": "sk-secret"}, "providers.openai.api_kee", "there are: any_model, api_key"),
        ({"api_key": ["sk-secret"]}, "providers.openai.api_key", "string"),
        ({"api_key": "sk-secret", "base_url": "ftp://x"}, "providers.openai.base_url", "pattern"),
        ({"api_key": "sk-secret", "read_timeout": 0}, "providers.openai.read_timeout", "greater"),
    ],
)
def test_a_wrong_option_is_named_and_no_credential_is_shown(
    options: dict[str, Any], setting: str, words: str
) -> None:
    with pytest.raises(InvalidConfigurationError) as caught:
        build_providers({"openai": options})
    assert caught.value.setting == setting
    assert words in str(caught.value)
    assert "sk-secret" not in repr(caught.value)
    assert caught.value.__cause__ is None


def test_a_missing_key_is_a_matter_of_credentials() -> None:
    with pytest.raises(CredentialsError, match=r"\[providers\.work\]"):
        build_providers({"work": {"type": "openai"}})
    build_providers({"work": {"type": "openai", "base_url": "http://127.0.0.1:1/v1"}})
