"""Reading plugins from folders and .difypkg files, and preparing environments."""

import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from invokeq.dify.plugins import find_interpreter, interpreters, load_package
from invokeq.dify.plugins.requirements import read_requirements
from invokeq.dify.plugins.variables import installer_variables, plugin_variables
from invokeq.protocol.errors import InvalidConfigurationError, MissingExtraError
from tests.support.dify.fake_plugin import MANIFEST, write_plugin


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_reads_what_running_it_needs(tmp_path: Path) -> None:
    package = load_package(write_plugin(tmp_path / "fake"))
    assert package.id == "acme/fake"
    assert package.manifest.plugins.tools == ("provider/fake.yaml",)
    assert package.manifest.plugins.models == ()
    # Written without quotes, which is a number to YAML.
    assert package.manifest.meta.runner.version == "3.12"
    assert package.permissions.model.llm
    assert not package.permissions.model.rerank


@pytest.mark.parametrize(
    ("old", "new", "setting"),
    [
        ("name: fake", "name: Fake Plugin", "name"),
        ("author: acme", "", "author"),
        ("entrypoint: main}", "entrypoint: mian}", "meta.runner.entrypoint"),
        ("language: python", "language: rust", "meta.runner.language"),
        ("  runner:", "  walker:", "meta.runner"),
        ("llm: true", "llm: [1]", "resource.permission.model.llm"),
        ("tools: [provider/fake.yaml]", "tools: {a: b}", "plugins.tools"),
        ("version: 0.1.0", "version: [", "file"),
    ],
)
def test_a_wrong_manifest_is_named_with_its_field(
    tmp_path: Path, old: str, new: str, setting: str
) -> None:
    folder = write_plugin(tmp_path / "fake", manifest=MANIFEST.replace(old, new, 1))
    with pytest.raises(InvalidConfigurationError) as caught:
        load_package(folder)
    assert caught.value.source == str(folder / "manifest.yaml")
    assert caught.value.setting == setting


def test_there_is_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfigurationError, match="no such folder"):
        load_package(tmp_path / "nothing")


def test_files_outside_of_the_plugin_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret.yaml").write_text("a: b")
    package = load_package(write_plugin(tmp_path / "fake"))
    with pytest.raises(InvalidConfigurationError, match="outside"):
        package.read_yaml("../secret.yaml")


def test_yaml_makes_no_objects(tmp_path: Path) -> None:
    folder = write_plugin(tmp_path / "fake", manifest="!!python/object/apply:os.getcwd []")
    with pytest.raises(InvalidConfigurationError, match="is not YAML"):
        load_package(folder)


def test_without_pyyaml_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(MissingExtraError, match=r"invokeq\[plugins\]"):
        load_package(write_plugin(tmp_path / "fake"))


def packed(file: Path, files: Mapping[str, str]) -> Path:
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file


def test_a_packed_plugin_is_unpacked_once(tmp_path: Path, cache: Path) -> None:
    file = packed(tmp_path / "fake.difypkg", {"manifest.yaml": MANIFEST, "main.py": ""})
    package = load_package(file)
    assert package.id == "acme/fake"
    assert package.directory.is_relative_to(cache)
    assert load_package(file).directory == package.directory
    assert len(list(package.directory.parent.iterdir())) == 1


@pytest.mark.parametrize("name", ["../evil.py", "/evil.py", "a/../../evil.py"])
def test_a_packed_plugin_stays_in_its_folder(tmp_path: Path, cache: Path, name: str) -> None:
    file = packed(tmp_path / "fake.difypkg", {"manifest.yaml": MANIFEST, name: "x"})
    with pytest.raises(InvalidConfigurationError, match="outside"):
        load_package(file)
    assert not [path for path in cache.rglob("*") if path.is_file()]


def test_what_is_no_package(tmp_path: Path, cache: Path) -> None:
    file = tmp_path / "fake.difypkg"
    file.write_bytes(b"PK not a zip")
    with pytest.raises(InvalidConfigurationError, match="is not a plugin package"):
        load_package(file)
    assert not [path for path in cache.rglob("*") if path.is_file()]


LOCK = """
[[package]]
name = "httpx"
version = "0.28.1"
source = { registry = "https://an.index/simple" }
[[package]]
name = "numpy"
version = "1.26.0"
source = { registry = "https://an.index/simple" }
[[package]]
name = "numpy"
version = "2.1.0"
source = { registry = "https://an.index/simple" }
[[package]]
name = "fake"
version = "0.1.0"
source = { virtual = "." }
"""


def test_requirements_come_from_the_project_and_its_lock(tmp_path: Path) -> None:
    folder = write_plugin(tmp_path / "fake")
    (folder / "pyproject.toml").write_text('[project]\ndependencies = ["httpx>=0.2", "numpy"]\n')
    (folder / "uv.lock").write_text(LOCK)
    found = read_requirements(load_package(folder))
    assert found.wanted == "httpx>=0.2\nnumpy\n"
    assert found.locked == "httpx==0.28.1\n"
    assert found.digest("3.11") != found.digest("3.12")


def test_a_project_without_dependencies_leaves_it_to_requirements_txt(tmp_path: Path) -> None:
    folder = write_plugin(tmp_path / "fake")
    (folder / "pyproject.toml").write_text("[tool.ruff]\n")
    (folder / "requirements.txt").write_text("httpx\n")
    assert read_requirements(load_package(folder)).wanted == "httpx\n"


@pytest.mark.parametrize(
    ("project", "problem"),
    [
        (None, "is missing, and no pyproject.toml lists dependencies"),
        ("[project", "is not TOML"),
        ('[project]\ndependencies = "a"', "must be a list"),
    ],
)
def test_requirements_that_cannot_be_read(
    tmp_path: Path, project: str | None, problem: str
) -> None:
    folder = write_plugin(tmp_path / "fake")
    (folder / "requirements.txt").unlink()
    if project is not None:
        (folder / "pyproject.toml").write_text(project)
    with pytest.raises(InvalidConfigurationError, match=problem):
        read_requirements(load_package(folder))


@pytest.fixture
def pythons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Fake pyenv with three versions, and an empty PATH."""
    for version in ("3.12.4", "3.12.11", "3.14.0"):
        binary = tmp_path / "versions" / version / "bin"
        binary.mkdir(parents=True)
        (binary / "python").touch()
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    running: Any = (3, 11, 9)
    monkeypatch.setattr(interpreters.sys, "version_info", running)
    return tmp_path


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("3.12", "3.12.11"),
        ("3.12.1", "3.12.11"),
        ("3.13", "3.14.0"),
        ("3.11", None),
        ("3.15", None),
        ("", None),
        ("any", None),
    ],
)
def test_the_interpreter_is_the_one_asked_for_or_the_next(
    pythons: Path, wanted: str, found: str | None
) -> None:
    expected = pythons / "versions" / found / "bin" / "python" if found else Path(sys.executable)
    assert find_interpreter(wanted).path == expected


def test_an_interpreter_in_the_path_is_found(pythons: Path) -> None:
    binary = pythons / "python3.13"
    binary.touch(mode=0o755)
    assert find_interpreter("3.13").path == binary


def test_a_plugin_inherits_no_credentials() -> None:
    own = {
        "PATH": "/bin",
        "HOME": "/root",
        "LC_ALL": "C",
        "https_proxy": "p",
        "OPENAI_API_KEY": "k",
        "INVOKEQ_REDIS_URL": "r",
        "PYTHONPATH": "/x",
        "PIP_INDEX_URL": "i",
    }
    assert plugin_variables(own).keys() == {"PATH", "HOME", "LC_ALL", "https_proxy"}
    assert installer_variables(own).keys() == {*plugin_variables(own), "PIP_INDEX_URL"}
