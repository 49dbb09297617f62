"""A plugin's own environment, made by pip without a network."""

import asyncio
import os
from pathlib import Path

import pytest

from invokeq.dify.plugins import PluginPackage, environment, load_package, prepare_environment
from invokeq.protocol.errors import PluginEnvironmentError
from tests.support.dify.fake_plugin import write_plugin

pytestmark = pytest.mark.timeout(360)

SETUP = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "tiny"
version = "1.0"
"""
BACKEND = """
import zipfile
def build_wheel(folder, settings=None, metadata=None):
    name = "tiny-1.0-py3-none-any.whl"
    info = "tiny-1.0.dist-info"
    with zipfile.ZipFile(f"{folder}/{name}", "w") as wheel:
        wheel.writestr("tiny.py", "ANSWER = 42")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\\nName: tiny\\nVersion: 1.0\\n")
        purelib = "Root-Is-Purelib: true\\nTag: py3-none-any\\n"
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\n" + purelib)
        wheel.writestr(f"{info}/RECORD", "")
    return name
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))  # the running Python is near enough
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "invokeq" / "plugins" / "environments"


@pytest.fixture
def package(tmp_path: Path) -> PluginPackage:
    manifest = (folder := write_plugin(tmp_path / "fake")) / "manifest.yaml"
    manifest.write_text(manifest.read_text().replace("version: 3.12", "version: ''"))
    (folder / "tiny").mkdir()
    (folder / "tiny" / "pyproject.toml").write_text(SETUP)
    (folder / "tiny" / "backend.py").write_text(BACKEND)
    (folder / "requirements.txt").write_text("./tiny\n")
    return load_package(folder)


def folders(cache: Path) -> list[Path]:
    return [path for path in cache.iterdir() if path.is_dir()]


async def answer(python: Path) -> str:
    process = await asyncio.create_subprocess_exec(
        python, "-c", "import tiny; print(tiny.ANSWER)", stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    return output.decode().strip()


async def test_two_at_once_make_one_environment(
    package: PluginPackage, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Builds twice without the lock, and again each time without the marker."""
    builds: list[Path] = []
    build = environment._build  # pyright: ignore[reportPrivateUsage] -- to see how often it runs

    async def counted(folder: Path, *rest: object) -> None:
        builds.append(folder)
        await build(folder, *rest)  # pyright: ignore[reportArgumentType] -- passed on as they are

    monkeypatch.setattr(environment, "_build", counted)
    pythons = await asyncio.gather(prepare_environment(package), prepare_environment(package))
    assert len(set(pythons)) == len(builds) == 1
    assert await answer(pythons[0]) == "42"
    assert await prepare_environment(package) == pythons[0]
    assert len(builds) == 1
    assert pythons[0].is_relative_to(cache)


async def test_a_failed_installation_says_what_pip_said(
    package: PluginPackage, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://ann:s3cret@127.0.0.1:1/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    (package.directory / "requirements.txt").write_text("no-such-package-of-ours==1\n")
    with pytest.raises(PluginEnvironmentError, match="no-such-package-of-ours") as caught:
        await prepare_environment(package)
    assert caught.value.plugin == "acme/fake"
    assert "s3cret" not in str(caught.value.to_wire())
    assert folders(cache) == []


async def test_what_an_interrupted_build_left_is_built_anew(
    package: PluginPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def interrupted(folder: Path, *_: object) -> None:
        (folder / "bin").mkdir(parents=True)
        (folder / "bin" / "python").touch()
        raise asyncio.CancelledError

    with monkeypatch.context() as patch:
        patch.setattr(environment, "_build", interrupted)
        with pytest.raises(asyncio.CancelledError):
            await prepare_environment(package)
    assert await answer(await prepare_environment(package)) == "42"
