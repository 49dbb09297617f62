"""Vendors to test providers against, written by others: aimock, and llama.cpp's own HTTP server.

Each server is a process that ends with its tests, and with us if we
are killed. `Relay` stands between a provider and a server and counts the open connections, because
neither server tells when its client has gone.
"""

import asyncio
import json
import subprocess
import sys
import urllib.request
from base64 import b64encode
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import IO, Any, Literal
from urllib.parse import urlsplit

import pytest

from invokeq_providers.local.llm import weights_path
from scripts.node import find_node

ROOT = Path(__file__).resolve().parents[2]
AIMOCK = ROOT / ".cache/npm/node_modules/@copilotkit/aimock/dist/index.js"
AIMOCK_PROGRAM = Path(__file__).with_name("aimock.mjs")
ANSWER = "One, two, three. Grüße, 世界 🌍! Four, five, six, seven."
USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
VECTOR = [0.5, -0.25, 1.0]
AUDIO = b"\xff\xfb\x90\x00" + bytes(range(256)) * 40  # begins as a frame of mp3 does
WEATHER_CALLS: list[dict[str, Any]] = [
    {"name": "weather", "arguments": {"city": "Oslo", "unit": "celsius"}},
    {"name": "weather", "arguments": {"city": "Bergen", "unit": "celsius"}},
]

# Runs a program that dies with us: on Linux the kernel sees to it.
_TIED = """
import ctypes, os, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 9)
os.execv(sys.argv[1], sys.argv[1:])
"""

# Ends when its standard input does, which is when we are gone.
_LLAMA = """
import sys
import xllamacpp
params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.model_alias = {"smollm2"}
params.n_ctx, params.n_parallel, params.n_batch, params.n_ubatch = 1024, 1, 64, 64
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
params.hostnames, params.port, params.n_threads_http = ["127.0.0.1"], 0, 4
params.warmup = params.fit_params = params.ui = False
params.cache_ram_mib = params.n_ctx_checkpoints = 0
params.verbosity = -1
if sys.argv[2] == "embeddings":
    params.embedding = True
    params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
"""


class Aimock:
    """aimock with our fixtures, a journal and chaos."""

    def __init__(self, url: str) -> None:
        self.url = url

    @property
    def base_url(self) -> str:
        """The address of the OpenAI API."""
        return f"{self.url}/v1"

    def bodies(self) -> list[dict[str, Any]]:
        """Return the bodies of the requests since the last `reset`, oldest first."""
        return [entry["body"] for entry in json.loads(self._ask("GET", "/__aimock/journal"))]

    def headers(self) -> list[dict[str, str]]:
        """Return the headers of the same requests."""
        return [entry["headers"] for entry in json.loads(self._ask("GET", "/__aimock/journal"))]

    def reset(self) -> None:
        """Forget all requests, and all chaos."""
        self._ask("POST", "/__aimock/reset/journal", b"")
        self._ask("DELETE", "/__aimock/chaos")

    def chaos(self, **rates: float) -> None:
        """Misbehave from now on, at the given rates."""
        self._ask("POST", "/__aimock/chaos", json.dumps(rates).encode())

    def _ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        request = urllib.request.Request(f"{self.url}{path}", data=body, method=method)
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read()


class Relay:
    """A relay of bytes between clients and one server; `open` counts the connected clients."""

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._host, self._port, self._path = parts.hostname or "", parts.port or 0, parts.path
        self.open = 0
        self.seen = 0
        self.base_url = ""
        self._clients: set[asyncio.Task[None]] = set()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client, beside the others."""
        task = asyncio.create_task(self._serve(reader, writer))
        self._clients.add(task)
        task.add_done_callback(self._clients.discard)

    async def close(self) -> None:
        """Drop all clients."""
        for task in self._clients:
            task.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        self.seen += 1
        up_reader, up_writer = await asyncio.open_connection(self._host, self._port)
        tasks = [
            asyncio.create_task(_pump(reader, up_writer)),
            asyncio.create_task(_pump(up_reader, writer)),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            self.open -= 1
            up_writer.close()
            writer.close()

    def listen(self, port: int) -> None:
        """Record the port for clients."""
        self.base_url = f"http://127.0.0.1:{port}{self._path}"


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        return  # the end of either side is the end of the relay


@asynccontextmanager
async def relay_to(target: str) -> AsyncGenerator[Relay, None]:
    """Run a relay in the running loop."""
    relay = Relay(target)
    server = await asyncio.start_server(relay.accept, "127.0.0.1", 0)
    relay.listen(server.sockets[0].getsockname()[1])
    try:
        yield relay
    finally:
        server.close()
        await relay.close()


@contextmanager
def _running(
    command: list[str], address: Callable[[str], str | None]
) -> Generator[str, None, None]:
    """Run a server until the block ends; yield the address from a line of output."""
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    try:
        yield _first(process.stdout, address)
    finally:
        process.terminate()
        process.communicate(timeout=60)


def _first(lines: IO[str], address: Callable[[str], str | None]) -> str:
    seen: list[str] = []
    for line in lines:
        seen.append(line)
        found = address(line)
        if found is not None:
            return found
    raise AssertionError(f"the server ended before it said its address:\n{''.join(seen)}")


def _aimock_address(line: str) -> str | None:
    return line.rpartition(" ")[2].strip() if "listening on" in line else None


def _llama_address(line: str) -> str | None:
    return line.strip() if line.startswith("http") else None


def _aimock_fixtures() -> list[dict[str, Any]]:
    error = {"message": "Incorrect API key provided: sk-sec***et", "type": "invalid_request_error"}
    return [
        _fixture("count", {"content": ANSWER, "usage": USAGE}, chunkSize=8),
        _fixture("slowly", {"content": ANSWER * 20, "usage": USAGE}, chunkSize=1, latency=20),
        _fixture("never", {"content": ANSWER}, latency=20_000),
        _fixture("broken", {"content": ANSWER}, chunkSize=4, latency=50, truncateAfterChunks=4),
        _fixture("think", {"content": "42", "reasoning": "six times seven"}),
        _fixture("weather", {"toolCalls": WEATHER_CALLS}, chunkSize=5),
        _fixture("ponder", {"toolCalls": WEATHER_CALLS[:1], "reasoning": "hm"}),
        _fixture("limit", _error("slow down", 429, retryAfter=7)),
        _fixture("money", _error("no credit", 429, code="insufficient_quota")),
        _fixture("refused", {"error": error, "status": 401}),
        _fixture("overload", _error("overloaded", 503)),
        _fixture("wrong", _error("no such thing", 400)),
        {"match": {"endpoint": "embedding"}, "response": {"embedding": VECTOR}},
        {"match": {"endpoint": "speech"}, "response": {"audio": b64encode(AUDIO).decode()}},
        {"match": {"endpoint": "transcription"}, "response": {"transcription": {"text": ANSWER}}},
    ]


def _fixture(said: str, response: dict[str, Any], **extra: Any) -> dict[str, Any]:
    return {"match": {"userMessage": said}, "response": response, **extra}


def _error(message: str, status: int, code: str = "some_code", **extra: Any) -> dict[str, Any]:
    fields = {"message": message, "type": "some_type", "code": code}
    return {"error": fields, "status": status, **extra}


@contextmanager
def running_aimock(directory: Path) -> Generator[Aimock, None, None]:
    """Run aimock; `directory` is for the fixtures."""
    if not AIMOCK.exists():
        pytest.fail("aimock is not in .cache/npm; `make test` installs it", pytrace=False)
    fixtures = directory / "fixtures.json"
    fixtures.write_text(json.dumps({"fixtures": _aimock_fixtures()}))
    program = [str(find_node()), str(AIMOCK_PROGRAM), str(AIMOCK), str(fixtures)]
    with _running([sys.executable, "-c", _TIED, *program], _aimock_address) as url:
        yield Aimock(url)


@contextmanager
def running_llama(serving: Literal["chat", "embeddings"]) -> Generator[str, None, None]:
    """Run llama.cpp's HTTP server with SmolLM2; yield the address of the OpenAI API."""
    weights = str(weights_path("this test"))
    with _running([sys.executable, "-c", _LLAMA, weights, serving], _llama_address) as url:
        yield f"{url}/v1"
