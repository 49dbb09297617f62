"""Dify's plugin daemon as its platform sees it: what it sends, and what it takes for an answer.

It drops a chunk that does not fit without a word, and loses whatever is no `{"data", "error"}`.
Here both fail a test instead.
"""

import json
import struct
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from typing import Any, cast

from tests.support.processes.gateway import INNER_KEY, Connection, Gateway, send_chunked

MAX_DATA = 31_457_280
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

_ROLES = {"system", "user", "assistant", "tool"}
_COUNTERS = {
    "llm": ("prompt_tokens", "completion_tokens", "total_tokens"),
    "embedding": ("tokens", "total_tokens"),
}


def message(role: str, content: object, **fields: Any) -> dict[str, Any]:
    """One message, with what Go writes for fields that the plugin has left out."""
    written = {"role": role, "content": content, "name": "", "tool_calls": None, "tool_call_id": ""}
    return {**written, **fields}


def llm_body(**fields: Any) -> dict[str, Any]:
    """The body of an LLM call, all keys present."""
    return {
        "tenant_id": "tenant-1",
        "user_id": "user-1",
        "type": "llm",
        "provider": "scripted",
        "model": "echo",
        "mode": "chat",
        "completion_params": {},
        "prompt_messages": [message("user", "one two three")],
        "tools": None,
        "stop": None,
        "stream": True,
        **fields,
    }


def body(kind: str, model: str, **fields: Any) -> dict[str, Any]:
    """The body of any other call of a model."""
    named = {"tenant_id": "tenant-1", "user_id": "user-1", "type": kind}
    return {**named, "provider": "scripted", "model": model, **fields}


def go_json(value: object) -> bytes:
    """Write JSON as Go does: without blanks, and with three characters escaped."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text.encode()


@contextmanager
def posted(
    gateway: Gateway, path: str, sent: object, key: str | None = INNER_KEY
) -> Generator[Connection]:
    """Send a call; gives the open answer."""
    headers = [("Content-Type", "application/json"), ("traceparent", TRACEPARENT)]
    headers += [("Accept-Encoding", "gzip")]
    if key is not None:
        headers.append(("X-Inner-Api-Key", key))
    connection = send_chunked(gateway, f"/inner/api/{path}", go_json(sent), headers)
    try:
        yield connection
    finally:
        connection.close()


def ask(gateway: Gateway, path: str, sent: object, key: str | None = INNER_KEY) -> dict[str, Any]:
    """Make a call that has one result; gives its object with `data` and `error`."""
    with posted(gateway, path, sent, key) as answer:
        whole = answer.response.read()
    value = json.loads(whole)
    assert set(value) == {"data", "error"}
    assert value["data"] is not None or value["error"]  # else: "data is nil"
    return value


def stream(gateway: Gateway, path: str, sent: object) -> list[dict[str, Any]]:
    """Make a call that is streamed; gives the objects of all frames."""
    with posted(gateway, path, sent) as answer:
        assert answer.response.status == 200  # else: "request failed with status code"
        return list(frames(answer.response.read()))


def frames(whole: bytes) -> Iterable[dict[str, Any]]:
    """Read frames as the daemon does."""
    at = 0
    while at < len(whole):
        magic, _, header, size = struct.unpack_from("<BBHI", whole, at)
        assert magic == 0x0F, f"magic number mismatch: {magic}"
        assert header == 10, f"header length mismatch: {header}"
        assert size <= MAX_DATA, f"data length is too long: {size}"
        at += 14
        assert at + size <= len(whole), "the stream ends inside a frame"
        value = json.loads(whole[at : at + size])
        assert set(value) == {"data", "error"}
        assert value["data"] is not None or value["error"]
        yield value
        at += size


def chunks(values: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the chunks of an LLM's frames; check each by the rules of daemon and SDK."""
    found: list[dict[str, Any]] = []
    for value in values:
        assert value["error"] == ""
        chunk = cast(dict[str, Any], value["data"])
        _check_chunk(chunk)
        found.append(chunk)
    return found


def _check_chunk(chunk: Mapping[str, Any]) -> None:
    assert chunk["model"]
    delta = chunk["delta"]
    assert type(delta["index"]) is int
    said = delta["message"]
    assert said["role"] in _ROLES
    assert isinstance(said["content"], str | list)
    assert isinstance(said["tool_calls"], list)  # null reaches the SDK, which refuses it
    if isinstance(said["content"], list):
        for part in cast(list[dict[str, Any]], said["content"]):
            assert part["type"] != "image" or part["detail"] in {"low", "high"}
    if delta["usage"] is not None:
        check_usage(delta["usage"], "llm")


def check_usage(usage: Mapping[str, Any], kind: str) -> None:
    """Check what may not be null; prices may be texts or numbers."""
    assert all(type(usage[name]) is int for name in _COUNTERS[kind])
    assert isinstance(usage["currency"], str)
    assert isinstance(usage["latency"], int | float)
