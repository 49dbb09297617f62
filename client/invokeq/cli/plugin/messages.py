"""Prints a plugin's messages on arrival: results to stdout, the plugin's log to stderr."""

import mimetypes
import sys
from collections.abc import AsyncIterable, Mapping
from pathlib import Path
from typing import Any, Final, cast

import orjson

from invokeq.cli.errors import write_note
from invokeq.cli.render.output import write, write_json
from invokeq.cli.render.text import one_line, printable
from invokeq.dify.platform import blob_of

Message = Mapping[str, Any]

_NAME_LENGTH: Final = 60
"""Characters kept of a file name; every file system accepts as many."""

_ADDRESSES: Final = frozenset({"link", "image", "image_link"})


async def show_messages(
    messages: AsyncIterable[Message], *, output: Path | None, as_json: bool
) -> None:
    """Print each message; save files into the directory `output`, if given."""
    sink = _JsonSink(output) if as_json else _TextSink(output)
    # Ctrl-C may come in the middle of a line of text.
    try:
        async for message in messages:
            sink.show(message)
    finally:
        sink.end()


class _Files:
    """Saves blobs under unique names."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._count = 0

    def save(self, message: Message) -> tuple[Path | None, int, str]:
        """Save a blob and return path, size in bytes and MIME type."""
        data, meta = blob_of(message), cast(Message, message.get("meta") or {})
        mime_type = one_line(str(meta.get("mime_type") or "application/octet-stream"))
        self._count += 1
        if self._directory is None:
            return None, len(data), mime_type
        self._directory.mkdir(parents=True, exist_ok=True)
        path = self._free(self._name(meta, mime_type))
        path.write_bytes(data)
        return path, len(data), mime_type

    def _name(self, meta: Message, mime_type: str) -> str:
        # The plugin may name the file but not the directory.
        said = printable(str(meta.get("filename") or meta.get("file_name") or "")).strip()
        name = Path(said.replace("\\", "/")).name.lstrip(".")[-_NAME_LENGTH:]
        return name or f"file-{self._count}{mimetypes.guess_extension(mime_type) or '.bin'}"

    def _free(self, name: str) -> Path:
        assert self._directory is not None
        # Files of an earlier run stay: a number is added until the name is free.
        path = wanted = self._directory / name
        number = self._count
        while path.exists():
            path = wanted.with_name(f"{wanted.stem}-{number}{wanted.suffix}")
            number += 1
        return path


class _JsonSink:
    """Prints each message as a line of JSON; a saved blob is replaced by the path."""

    def __init__(self, output: Path | None) -> None:
        self._files = _Files(output)
        self._saves = output is not None

    def show(self, message: Message) -> None:
        if self._saves and message.get("type") == "blob":
            path, size, _ = self._files.save(message)
            message = {**message, "message": {"file": str(path), "bytes": size}}
        write_json(message)

    def end(self) -> None:
        pass


class _TextSink:
    """Prints for people: texts continue on one line, other messages have a line each."""

    def __init__(self, output: Path | None) -> None:
        self._files = _Files(output)
        self._mid_line = False
        self._streamed: str | None = None
        self._plain = printable if sys.stdout.isatty() else str

    def show(self, message: Message) -> None:
        kind, content = message.get("type"), cast(Message, message.get("message") or {})
        if kind == "text":
            self._run_on(None, str(content.get("text") or ""))
        elif kind == "variable" and content.get("stream"):
            self._run_on(str(content.get("variable_name")), str(content.get("variable_value")))
        elif kind == "log":
            self.end()
            _show_log(content)
        else:
            self.end()
            self._show_line(str(kind), content, message)

    def end(self) -> None:
        """End the line of a continued text."""
        if self._mid_line:
            write("\n")
        self._mid_line, self._streamed = False, None

    def _run_on(self, name: str | None, text: str) -> None:
        if name != self._streamed:
            self.end()
            self._streamed = name
            text = f"{name} = {text}"
        if shown := self._plain(text):
            write(shown)
            self._mid_line = not shown.endswith("\n")

    def _show_line(self, kind: str, content: Message, message: Message) -> None:
        if kind in _ADDRESSES:
            write(f"{one_line(str(content.get('text')))}\n")
        elif kind == "json":
            _show_json(content.get("json_object"))
        elif kind == "variable":
            value = orjson.dumps(content.get("variable_value")).decode()
            write(f"{one_line(str(content.get('variable_name')))} = {self._plain(value)}\n")
        elif kind == "blob":
            self._show_blob(message)
        else:
            write(f"{one_line(kind)}: {self._plain(orjson.dumps(content).decode())}\n")

    def _show_blob(self, message: Message) -> None:
        path, size, mime_type = self._files.save(message)
        if path is None:
            what = f"a file of {size} bytes, {mime_type}"
            write_note(f"note: {what}, was not saved; --output DIR saves it")
        else:
            write(f"{path}\n")


def _show_json(value: Any) -> None:
    if not sys.stdout.isatty():
        write_json(value, indent=True)
        return
    from rich.console import Console

    Console().print_json(printable(orjson.dumps(value).decode()))


def _show_log(content: Message) -> None:
    """Print an entry of an agent's log; the plugin sends an entry at the start and at the end."""
    metadata = cast(Message, content.get("metadata") or {})
    elapsed = metadata.get("elapsed_time")
    took = f", {elapsed:.2f} s" if isinstance(elapsed, int | float) else ""
    problem = f": {content['error']}" if content.get("error") else ""
    indent = "  " if content.get("parent_id") else ""
    write_note(f"log: {indent}{content.get('label')} ({content.get('status')}{took}){problem}")
