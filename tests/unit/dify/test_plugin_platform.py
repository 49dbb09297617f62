"""Declarations of plugins, messages of plugins, and files for plugins."""

import base64
import shutil
import urllib.error
import urllib.request
from asyncio import to_thread
from pathlib import Path
from typing import Any

import pytest

from invokeq.cli.plugin.inputs import read_credentials, read_given
from invokeq.dify.platform import Catalog, blob_of, load_plugin
from invokeq.dify.platform.files import FILE_IDENTITY, FileServer
from invokeq.dify.platform.messages import BlobJoiner
from invokeq.protocol.errors import (
    InvalidConfigurationError,
    InvalidRequestError,
    ProtocolError,
)
from tests.support.paths import PLUGINS

EXAMPLE = PLUGINS.parents[1] / "examples" / "dify_tool"


def test_the_example_declares_what_its_files_say() -> None:
    plugin = load_plugin(EXAMPLE)
    assert plugin.id == "invokeq/ask_model"
    assert [tool.name for tool in plugin.declarations.tools] == ["llm", "llm_fixed"]
    tool = plugin.tool("llm")
    assert plugin.provider_id(tool.provider) == "invokeq/ask_model/ask_model"
    assert [(p.name, p.type.value, p.scope, p.form) for p in tool.declaration.parameters] == [
        ("prompt", "string", None, "llm"),
        ("model", "model-selector", "llm", "form"),
    ]
    with pytest.raises(InvalidRequestError, match="none is called 'x'; there are: llm, llm_fixed"):
        plugin.tool("x")


ASK, PROVIDER = "tools/ask.yaml", "provider/toolbox.yaml"


@pytest.mark.parametrize(
    ("file", "old", "new", "setting", "problem"),
    [
        (
            *(ASK, "tool-call&llm", "tool-cal&llm", "parameters"),
            "the scope of model has the unknown word 'tool-cal'; did you mean tool-call?",
        ),
        (ASK, "type: string", "type: strnig", "parameters.0.type", "Input should be 'string'"),
        (ASK, "name: model", "name: prompt", "parameters", "declares prompt twice"),
        (ASK, "  llm: Asks", "  lm: Asks", "description.llm", "Field required"),
        (ASK, "extra:", "other:", "extra", "Field required"),
        (
            *(PROVIDER, "type: secret-input", "type: secret"),
            *("credentials_for_provider.api_key.type", "Input should be 'string'"),
        ),
        (PROVIDER, "tools/ask.yaml", "tools/gone.yaml", "file", "cannot be read"),
    ],
)
def test_a_declaration_that_makes_no_sense_names_file_and_field(
    tmp_path: Path, file: str, old: str, new: str, setting: str, problem: str
) -> None:
    plugin = Path(shutil.copytree(PLUGINS / "toolbox", tmp_path / "toolbox"))
    text = (plugin / file).read_text()
    assert old in text
    (plugin / file).write_text(text.replace(old, new))
    with pytest.raises(InvalidConfigurationError) as caught:
        load_plugin(plugin)
    if setting != "file":
        assert caught.value.source == str(plugin / file)
    assert caught.value.setting == setting
    assert problem in caught.value.problem


def test_tools_are_found_by_short_and_full_names_and_then_beside() -> None:
    catalog = Catalog(load_plugin(PLUGINS / "agent"))
    for provider in ("toolbox", "acme/toolbox/toolbox"):
        plugin, tool = catalog.find(provider, "shape")
        assert (plugin.id, tool.name, plugin.named) == ("acme/toolbox", "shape", False)
    with pytest.raises(InvalidRequestError, match="no plugin here has acme/other/toolbox/shape"):
        catalog.find("acme/other/toolbox", "shape")
    assert catalog.entities(None) == [], "siblings are not offered unasked"


def test_a_sibling_that_is_broken_does_not_matter(tmp_path: Path) -> None:
    for name in ("agent", "toolbox"):
        shutil.copytree(PLUGINS / name, tmp_path / name)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "manifest.yaml").write_text("a: [")
    plugin, _ = Catalog(load_plugin(tmp_path / "agent")).find("toolbox", "say")
    assert plugin.package.directory == tmp_path / "toolbox"


def test_an_agent_s_tools_have_what_dify_gives_them() -> None:
    catalog = Catalog(load_plugin(PLUGINS / "agent"), [load_plugin(PLUGINS / "toolbox")])
    (shape,) = catalog.entities([{"tool": "shape", "parameters": {"unit": "metric"}}])
    assert shape["identity"]["provider"] == "acme/toolbox/toolbox"
    assert shape["provider_type"] == "builtin"
    assert shape["runtime_parameters"] == {"count": 2, "flag": False, "unit": "metric"}
    assert [parameter["name"] for parameter in shape["parameters"]][:2] == ["text", "count"]
    names = [tool["identity"]["name"] for tool in catalog.entities(["*"])]
    assert names == ["ask", "say", "shape", "call"]
    whole = {"identity": {"name": "mine"}}
    assert catalog.entities([whole, "toolbox/say"])[0] == whole
    with pytest.raises(InvalidRequestError, match="none is called 'nope'; there are: ask, say"):
        catalog.entities(["nope"])


def chunk(sequence: int, data: bytes, *, total: int, end: bool = False, name: str = "b") -> Any:
    content = {
        "id": name,
        "sequence": sequence,
        "total_length": total,
        "blob": base64.b64encode(data).decode(),
        "end": end,
    }
    return {"type": "blob_chunk", "message": content, "meta": {"mime_type": "x/y"}}


def test_chunks_become_one_blob_even_if_two_are_mixed() -> None:
    joiner = BlobJoiner()
    text = {"type": "text", "message": {"text": "a"}, "meta": None}
    said = [
        chunk(0, b"ab", total=3),
        chunk(0, b"x", total=1, name="c"),
        text,
        chunk(1, b"c", total=3),
        chunk(1, b"", total=1, end=True, name="c"),
        chunk(2, b"", total=3, end=True),
    ]
    given = [whole for message in said if (whole := joiner.take(message)) is not None]
    joiner.finish()
    assert given[0] == text
    assert [(m["type"], blob_of(m), m["meta"]) for m in given[1:]] == [
        ("blob", b"x", {"mime_type": "x/y"}),
        ("blob", b"abc", {"mime_type": "x/y"}),
    ]


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ([chunk(1, b"a", total=1)], "chunk 1 came instead of 0"),
        ([chunk(0, b"a", total=2, end=True)], "has 1 bytes, its chunks say 2"),
        ([chunk(0, b"a", total=2)], "has no end"),
        (
            [{"type": "blob_chunk", "message": {"id": "b", "sequence": 0, "blob": "?"}}],
            "is not base64",
        ),
    ],
)
def test_a_blob_that_is_not_whole_is_an_error(said: list[Any], problem: str) -> None:
    joiner = BlobJoiner()
    with pytest.raises(ProtocolError, match=problem):  # noqa: PT012 -- any of them may raise
        for message in said:
            joiner.take(message)
        joiner.finish()


async def test_a_file_is_served_under_its_secret_name_only(tmp_path: Path) -> None:
    path = tmp_path / "pict ure.png"
    path.write_bytes(b"\x89PNG")
    server = await FileServer().start()
    try:
        value = server.offer(str(path))
        assert await to_thread(fetch, value["url"]) == b"\x89PNG"
        base = value["url"].rsplit("/", 2)[0]
        for guess in ("", "/", f"/{'0' * 32}/pict.png", "/../etc/passwd"):
            with pytest.raises(urllib.error.HTTPError, match="404"):
                await to_thread(fetch, f"{base}{guess}")
    finally:
        await server.close()
    del value["url"]
    assert value == {
        "dify_model_identity": FILE_IDENTITY,
        "filename": "pict ure.png",
        "extension": ".png",
        "mime_type": "image/png",
        "size": 4,
        "type": "image",
    }
    assert server.offer("https://example.org/a/b.pdf")["url"] == "https://example.org/a/b.pdf"
    with pytest.raises(FileNotFoundError):
        server.offer(str(tmp_path))


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=60) as response:
        return response.read()


def test_parameters_are_texts_or_json_and_given_once() -> None:
    given = read_given(["a=1", "b=x=y", "m.t=0.5", "m.s=word"], ['c={"d": [1]}'])
    assert given == {"a": "1", "b": "x=y", "m.t": 0.5, "m.s": "word", "c": {"d": [1]}}
    with pytest.raises(InvalidRequestError, match="--param-json: gives a twice"):
        read_given(["a=1"], ["a=2"])
    with pytest.raises(InvalidRequestError, match="--param: must look like KEY=VALUE"):
        read_given(["a"], [])
    with pytest.raises(InvalidRequestError, match="--param-json a: is not JSON"):
        read_given([], ["a={"])


def test_credentials_come_from_the_line_a_variable_or_a_file(tmp_path: Path) -> None:
    lines, whole = tmp_path / "c.env", tmp_path / "c.json"
    lines.write_text("# theirs\n\ntime:token=abc\n")
    whole.write_text('{"nested": {"a": 1}, "from": "env:KEY"}')
    env = {"KEY": "s3cret"}
    words = ["api_key=env:KEY", "plain=x", f"@{lines}", f"@{whole}"]
    assert read_credentials(words, env) == {
        "": {"api_key": "s3cret", "plain": "x", "nested": {"a": 1}, "from": "s3cret"},
        "time": {"token": "abc"},
    }
    with pytest.raises(InvalidRequestError, match="names the variable 'NO', which is not set"):
        read_credentials(["a=env:NO"], env)


def test_a_credential_that_is_written_badly_is_not_repeated(tmp_path: Path) -> None:
    broken = tmp_path / "c.json"
    broken.write_text('{"key": "s3cret"')
    for words in (["s3cret"], [f"@{broken}"]):
        with pytest.raises(InvalidRequestError) as caught:
            read_credentials(words, {})
        assert "s3cret" not in str(caught.value)
