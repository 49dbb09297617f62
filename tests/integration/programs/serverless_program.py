"""Dify's SDK in its install method serverless, driven over pipes by JSON lines.

A separate program, because importing `dify_plugin` patches the whole process with gevent. Without
any import of invokeq, the program runs on every interpreter with the SDK. The argument is a
plugin's DIFY_PLUGIN_DAEMON_URL. An input line names an `operation` and arguments. The output line
is `{"answer": ...}`, or `{"raised": ...}` with the class and the text of the error.
"""

import io
import json
import os
import sys
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from importlib.metadata import version
from queue import Queue
from typing import Any, cast

from dify_plugin.config.config import InstallMethod
from dify_plugin.core.runtime import Session
from dify_plugin.core.server.serverless.request_reader import ServerlessRequestReader
from dify_plugin.core.server.serverless.response_writer import ServerlessResponseWriter
from pydantic import BaseModel

OPEN: dict[str, Any] = {}


def session(session_id: str, daemon: str | None = None) -> Session:
    """Return a session as a plugin process gets with a request."""
    return Session(
        session_id=session_id,
        executor=ThreadPoolExecutor(),
        reader=ServerlessRequestReader(),
        writer=ServerlessResponseWriter(Queue()),
        install_method=InstallMethod.Serverless,
        dify_plugin_daemon_url=daemon or sys.argv[1],
    )


def sdk_version() -> str:
    """Return the version of the SDK."""
    return version("dify_plugin")


def call(
    session_id: str,
    attribute: str,
    arguments: dict[str, Any],
    method: str = "invoke",
    daemon: str | None = None,
) -> Any:
    """Call any method of `session.model`; return the result, or all items of a stream."""
    function = getattr(getattr(session(session_id, daemon).model, attribute), method)
    return described(function(**decoded(arguments)))


def begin(name: str, session_id: str, attribute: str, arguments: dict[str, Any]) -> None:
    """Call, and keep the generator under a name without taking an item."""
    OPEN[name] = getattr(session(session_id).model, attribute).invoke(**decoded(arguments))


def advance(name: str) -> Any:
    """Return the next item of a generator."""
    return described(next(OPEN[name]))


def close(name: str) -> None:
    """Close a generator."""
    OPEN.pop(name).close()


def store(session_id: str) -> None:
    """Ask for storage, which is no model call."""
    session(session_id).storage.get("key")


def decoded(value: Any) -> Any:
    """Decode objects beyond JSON: {"entity": "module:Class", ...fields}, {"audio": hex} and
    {"repeat": text, "times": n}."""
    if isinstance(value, list):
        return [decoded(item) for item in cast(list[Any], value)]
    if not isinstance(value, dict):
        return value
    fields = {key: decoded(item) for key, item in cast(dict[str, Any], value).items()}
    if "audio" in fields:
        return io.BytesIO(bytes.fromhex(fields["audio"]))
    if "repeat" in fields:
        return fields["repeat"] * fields["times"]
    if "entity" not in fields:
        return fields
    module, _, name = fields.pop("entity").partition(":")
    entity = getattr(import_module(f"dify_plugin.entities.model{module}"), name)
    return entity(fields["value"]) if "value" in fields else entity(**fields)


def described(value: Any) -> Any:
    """Return the class name of a value, and the value."""
    if isinstance(value, Generator):
        return [described(item) for item in cast(Generator[Any, None, None], value)]
    if isinstance(value, BaseModel):
        return [type(value).__name__, json.loads(value.model_dump_json())]
    return [type(value).__name__, value.hex() if isinstance(value, bytes) else value]


OPERATIONS: dict[str, Callable[..., Any]] = {
    operation.__name__: operation for operation in (advance, begin, call, close, sdk_version, store)
}


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Execute one request; return the reply."""
    try:
        return {"answer": OPERATIONS[request.pop("operation")](**request)}
    except Exception as error:  # noqa: BLE001 - whatever a plugin would see is told
        return {"raised": type(error).__name__, "text": str(error)}


def main() -> None:
    """Answer until the input ends."""
    for line in sys.stdin:
        sys.stdout.write(json.dumps(answer(json.loads(line))) + "\n")
        sys.stdout.flush()
    os._exit(0)  # gevent 25 on Python 3.11 ends the interpreter with tracebacks of its own


if __name__ == "__main__":
    main()
