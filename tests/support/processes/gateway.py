"""Real gateway processes for tests, and the requests of both kinds of clients."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from tests.support.waiting import START_SECONDS, eventually

TRANSACTION = "/backwards-invocation/transaction"
KEY = "key-of-the-operator"
INNER_KEY = "key-of-the-daemon"
STOP_SECONDS = 60.0
REPLY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Gateway:
    """A listening gateway; `log` holds the output, one JSON object a line."""

    process: subprocess.Popen[bytes]
    address: str
    log: Path

    @property
    def port(self) -> int:
        port = urlsplit(self.address).port
        assert port is not None
        return port

    def lines(self, event: str) -> list[dict[str, Any]]:
        """Return the lines of the log about an event."""
        return [line for line in _lines(self.log) if line["event"] == event]

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes]:
        """Send one request; return the status and the body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=REPLY_SECONDS)
        sent = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        try:
            connection.request(method, path, sent, dict(headers or {}))
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def open_session(self, **fields: Any) -> str:
        """Open a session as the operator; return the id."""
        body = {"plugin_id": "acme", "tenant_id": "tenant-1", "user_id": "user-1", **fields}
        status, reply = self.ask("POST", "/sessions", body, {"Authorization": f"Bearer {KEY}"})
        assert status == 201, reply
        return json.loads(reply)["session_id"]

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(STOP_SECONDS)


@contextmanager
def running_gateway(
    url: str,
    directory: Path,
    *flags: str,
    env: Mapping[str, str] | None = None,
    name: str = "gateway",
) -> Generator[Gateway]:
    """Run a gateway on a free loopback port; wait until the log says `ready`."""
    log = directory / f"{name}.log"
    keys = {"INVOKEQ_GATEWAY_KEY": KEY, "INVOKEQ_INNER_API_KEY": INNER_KEY}
    command = [sys.executable, "-m", "invokeq.cli", "gateway", "--port", "0", "--redis", url]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--log-format", "json", *flags],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **keys, **(env or {})},
        )

    def ready() -> list[dict[str, Any]]:
        assert process.poll() is None, log.read_text()
        return [line for line in _lines(log) if line["event"] == "gateway ready"]

    try:
        eventually("the gateway is ready", ready, within=START_SECONDS)
        yield Gateway(process, ready()[0]["address"], log)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(STOP_SECONDS)


def _lines(log: Path) -> list[dict[str, Any]]:
    whole = [line for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]
    return [cast(dict[str, Any], json.loads(line)) for line in whole if line.startswith("{")]


@dataclass(slots=True)
class Connection:
    """An open HTTP response: status and headers are read, the body is still to come."""

    socket: socket.socket
    response: http.client.HTTPResponse

    def line(self) -> bytes:
        """Wait for one line."""
        return self.response.readline()

    def close(self) -> None:
        """Close the connection, even in the middle of the body."""
        self.response.close()
        self.socket.close()


def send_chunked(
    gateway: Gateway, path: str, body: bytes, headers: Iterable[tuple[str, str]], chunk: int = 4096
) -> Connection:
    """Send a body of unknown length, as Go does for a pipe; return the open response."""
    raw = socket.create_connection(("127.0.0.1", gateway.port), timeout=REPLY_SECONDS)
    head = [f"POST {path} HTTP/1.1", f"Host: 127.0.0.1:{gateway.port}"]
    head += ["User-Agent: Go-http-client/1.1", "Transfer-Encoding: chunked"]
    head += [f"{name}: {value}" for name, value in headers]
    raw.sendall(("\r\n".join(head) + "\r\n\r\n").encode())
    for at in range(0, len(body), chunk):
        part = body[at : at + chunk]
        raw.sendall(b"%x\r\n%b\r\n" % (len(part), part))
    raw.sendall(b"0\r\n\r\n")
    response = http.client.HTTPResponse(raw, method="POST")
    response.begin()
    return Connection(raw, response)


def prompt(text: str, **fields: Any) -> dict[str, Any]:
    """Return the `request` object of an LLM call, with the SDK's keys."""
    return {
        "provider": "scripted",
        "model": "echo",
        "model_type": "llm",
        "mode": "chat",
        "completion_params": {},
        "prompt_messages": [{"role": "user", "content": text, "name": None}],
        "tools": None,
        "stop": None,
        "stream": True,
        **fields,
    }


def envelope(session_id: str, kind: str, request: object) -> dict[str, Any]:
    """Return the SDK's envelope around one invocation of a session."""
    invoke = {"type": kind, "backwards_request_id": "ab" * 16, "request": request}
    data = {"type": "invoke", "data": invoke}
    return {"event": "session", "session_id": session_id, "data": data}
