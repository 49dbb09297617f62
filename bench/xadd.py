"""Measure the XADDs a second that the server takes in pipelines of 32: the ceiling of any stream.

Uses redis-benchmark or valkey-benchmark from the PATH, or else a client of our own that does the
same: 50 connections, each of which sends 32 commands when the last 32 are answered.
"""

import re
import selectors
import shutil
import socket
import subprocess
import time
from typing import Final
from urllib.parse import urlsplit

KEY: Final = "bench:xadd"
CONNECTIONS: Final = 50
PIPELINE: Final = 32
SECONDS: Final = 60.0
OWN: Final = "own client, 50 connections"
_REPLY_LINES: Final = 2  # an id comes as its length and itself


def xadds_a_second(url: str, count: int) -> tuple[str, float]:
    """Send about `count` XADDs; return the name of the tool and the rate a second."""
    parts = urlsplit(url)
    host, port = parts.hostname or "127.0.0.1", parts.port or 6379
    for name in ("valkey-benchmark", "redis-benchmark"):
        tool = shutil.which(name)
        if tool is not None:
            return name, _with_tool(tool, host, port, count)
    return OWN, _with_sockets(host, port, count)


def _with_tool(tool: str, host: str, port: int, count: int) -> float:
    address = ["-h", host, "-p", str(port)]
    command = [tool, *address, "-P", str(PIPELINE), "-c", str(CONNECTIONS), "-n", str(count), "-q"]
    words = ["XADD", KEY, "*", "field", "xxx"]
    ran = subprocess.run(
        [*command, *words], check=True, capture_output=True, text=True, timeout=SECONDS
    )
    rates = re.findall(r"([\d.]+) requests per second", ran.stdout)
    return float(rates[-1])


def _with_sockets(host: str, port: int, count: int) -> float:
    batch = _command("XADD", KEY, "*", "field", "xxx") * PIPELINE
    batches = max(CONNECTIONS, count // PIPELINE)
    with selectors.DefaultSelector() as selector:
        for _ in range(CONNECTIONS):
            connection = socket.create_connection((host, port), timeout=SECONDS)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            selector.register(connection, selectors.EVENT_READ, [0])
        try:
            return batches * PIPELINE / _drive(selector, batch, batches)
        finally:
            for key in list(selector.get_map().values()):
                connection = key.fileobj
                assert isinstance(connection, socket.socket)
                connection.close()


def _drive(selector: selectors.BaseSelector, batch: bytes, batches: int) -> float:
    """Keep every connection busy until all batches are answered; return the seconds."""
    begun = time.perf_counter()
    sent = answered = 0
    for key in list(selector.get_map().values()):
        assert isinstance(key.fileobj, socket.socket)
        key.fileobj.sendall(batch)
        sent += 1
    while answered < batches:
        for key, _ in selector.select(SECONDS):
            connection, lines = key.fileobj, key.data
            assert isinstance(connection, socket.socket)
            lines[0] += connection.recv(1 << 16).count(b"\r\n")
            if lines[0] < PIPELINE * _REPLY_LINES:
                continue
            lines[0] = 0
            answered += 1
            if sent < batches:
                connection.sendall(batch)
                sent += 1
    return time.perf_counter() - begun


def _command(*words: str) -> bytes:
    parts = [b"$%d\r\n%s\r\n" % (len(word), word.encode()) for word in words]
    return b"*%d\r\n" % len(words) + b"".join(parts)
