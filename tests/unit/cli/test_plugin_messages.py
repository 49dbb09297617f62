"""Output of `invokeq plugin run` for hostile messages."""

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from invokeq.cli.plugin.messages import show_messages


def blob(data: bytes, **meta: str) -> dict[str, Any]:
    return {"type": "blob", "message": {"blob": base64.b64encode(data).decode()}, "meta": meta}


def show(messages: list[dict[str, Any]], *, output: Path | None) -> None:
    async def each() -> AsyncIterator[dict[str, Any]]:
        for message in messages:
            yield message

    asyncio.run(show_messages(each(), output=output, as_json=False))


@pytest.mark.parametrize(
    ("filename", "saved"),
    [
        ("../../etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("/etc/shadow", "shadow"),
        ("..", "file-1.txt"),
        (".bashrc", "bashrc"),
        ("\x1b[2Ja.txt", "[2Ja.txt"),
        ("x" * 5000 + ".txt", "x" * 56 + ".txt"),
        ("", "file-1.txt"),
    ],
)
def test_a_file_goes_nowhere_but_into_its_directory(
    tmp_path: Path, filename: str, saved: str
) -> None:
    directory = tmp_path / "a" / "b"
    message = blob(b"data", filename=filename, mime_type="text/plain")
    show([message], output=directory)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path.relative_to(directory) for path in files] == [Path(saved)]


def test_no_file_is_written_over(tmp_path: Path) -> None:
    for _ in range(2):
        said = [blob(b"1", filename="a.txt"), blob(b"2", filename="a.txt")]
        show(said, output=tmp_path)
    assert len(list(tmp_path.iterdir())) == 4


def test_a_terminal_is_not_steered(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    bad = "\x1b[2J\x9b31m"
    show(
        [
            {"type": "text", "message": {"text": bad}},
            {"type": "link", "message": {"text": bad}},
            {"type": "variable", "message": {"variable_name": bad, "variable_value": bad}},
            {"type": "json", "message": {"json_object": {bad: bad}}},
            {"type": "log", "message": {"label": bad, "status": bad, "error": bad}},
            {"type": bad, "message": {bad: bad}},
            {"type": "file", "message": None},
        ],
        output=None,
    )
    printed = capsys.readouterr()
    assert "\x9b" not in printed.out + printed.err
    assert "\x1b[2J" not in printed.out + printed.err
