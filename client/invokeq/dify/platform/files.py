"""Serves local files to plugins, which accept files by address only.

A server on the loopback address serves exactly the offered files, each under an unguessable
address, and stops with the call.
"""

import asyncio
import mimetypes
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import quote, urlsplit

FILE_IDENTITY: Final = "__dify__file__"
"""The value of `dify_model_identity` by which the SDK recognizes a file."""

_CHUNK: Final = 256 * 1024
_HEAD_LIMIT: Final = 16 * 1024
_KINDS: Final = ("image", "audio", "video")


def file_value(url: str, name: str, size: int | None) -> dict[str, Any]:
    """Return the value of a file parameter, in Dify's form; `size` is in bytes."""
    mime_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
    kind = mime_type.partition("/")[0]
    return {
        "dify_model_identity": FILE_IDENTITY,
        "url": url,
        "filename": name,
        "extension": Path(name).suffix,
        "mime_type": mime_type,
        "size": size,
        "type": kind if kind in _KINDS else "document",
    }


class FileServer:
    """Serves the offered files from `start` until `close`."""

    def __init__(self) -> None:
        self._offered: dict[str, Path] = {}
        self._server: asyncio.Server | None = None
        self._port = 0

    async def start(self) -> Self:
        """Listen on a free port; required before the first local file is offered."""
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0, limit=_HEAD_LIMIT)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    def offer(self, place: str) -> dict[str, Any]:
        """Return the parameter value for a path, or for an http address, which stays unchanged.

        Raises FileNotFoundError for a path without a file.
        """
        parts = urlsplit(place)
        if parts.scheme in ("http", "https"):
            return file_value(place, Path(parts.path).name or parts.netloc, None)
        path = Path(place).expanduser()
        if not path.is_file():
            raise FileNotFoundError(place)
        # Any local process can reach the port, so the address itself is the secret.
        token = secrets.token_hex(16)
        self._offered[token] = path
        url = f"http://127.0.0.1:{self._port}/{token}/{quote(path.name)}"
        return file_value(url, path.name, path.stat().st_size)

    async def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            method, target = head.split(b" ", 2)[:2]
            path = self._offered.get(target.decode(errors="replace").split("/")[1])
            if path is None or method not in (b"GET", b"HEAD"):
                writer.write(_head("404 Not Found", {"Content-Length": "0"}))
            else:
                await self._send(writer, path, with_body=method == b"GET")
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, ValueError, IndexError):
            return  # the client disconnected, or does not speak HTTP
        except asyncio.LimitOverrunError:
            writer.write(_head("431 Request Header Fields Too Large", {"Content-Length": "0"}))
        finally:
            writer.close()

    async def _send(self, writer: asyncio.StreamWriter, path: Path, *, with_body: bool) -> None:
        mime_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            fields = {"Content-Length": str(size), "Content-Type": mime_type}
            writer.write(_head("200 OK", fields))
            # In a thread: a slow disk must not block the loop that serves the plugin.
            while with_body and (chunk := await asyncio.to_thread(file.read, _CHUNK)):
                writer.write(chunk)
                await writer.drain()


def _head(status: str, fields: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode()
