"""Credentials are planted, calls succeed and fail, and then all that can be read is searched.

Checked to fail when the vendor's words are passed on unblanked.
"""

import base64
import os
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import orjson
import pytest
import redis

from invokeq import Session
from invokeq.errors import InvokeqError
from invokeq_worker.config.loading import load_settings
from invokeq_worker.process.embedded_server import EmbeddedValkey
from tests.integration.conftest import user
from tests.support.processes.worker import WorkerProcess, running_worker
from tests.support.vendors.openai_vendor import chat, vendor_server
from tests.support.vendors.recorded import Answer, Recorded, said, streamed

VENDOR_KEY = "sk-canary-of-the-vendor-0123456789"
PASSWORD = "canary-of-redis/with+odd=signs"
ENCODED = "canary-of-redis%2Fwith%2Bodd%3Dsigns"
CANARIES = (VENDOR_KEY, PASSWORD, ENCODED, VENDOR_KEY[3:], "canary-of")
MODEL = {"provider": "vendor", "model": "gpt-4o-mini"}

WORDS = f"Incorrect API key provided: {VENDOR_KEY}. Header was 'Authorization: Bearer {VENDOR_KEY}'"
ERROR = {"error": {"message": WORDS, "type": WORDS, "code": VENDOR_KEY, "param": VENDOR_KEY}}
HTML = Answer((f"<html>{WORDS}</html>".encode(),), headers={"content-type": "text/html"})
MALFORMED = streamed(b"data: {%b\n\n" % WORDS.encode())
IN_STREAM = streamed(b"data: %b\n\n" % orjson.dumps(ERROR))
WRONG_SHAPE = streamed(b'data: {"choices": [{"index": 0, "delta": "%b"}]}\n\n' % WORDS.encode())
FAILURES: dict[str, Answer] = {
    **{f"{status}": said(ERROR, status) for status in (400, 401, 403, 404, 422, 429, 500, 503)},
    "text": Answer((WORDS.encode(),), 500),
    "html": HTML,
    "redirect": Answer((), 302, {"location": f"http://127.0.0.1:1/{VENDOR_KEY}"}),
    "malformed": MALFORMED,
    "in the stream": IN_STREAM,
    "a wrong shape": WRONG_SHAPE,
    "cut": Answer((b"data: " + WORDS.encode(),), end="cut"),
}


@dataclass(slots=True)
class Scene:
    """A server with a password, a worker with a key, and all that was shown to anybody."""

    url: str
    config: Path
    worker: WorkerProcess
    vendor: Recorded
    shown: list[str] = field(default_factory=list[str])

    def call(self, deadline: float | None = None) -> None:
        """Make a call, and keep everything that its error says."""
        with Session("acme", redis=self.url) as session:
            try:
                list(session.model.llm.invoke(MODEL, user("x"), deadline=deadline))
            except InvokeqError as error:
                self.shown += [str(error), repr(error), orjson.dumps(error.to_wire()).decode()]
                cause = error.__cause__ or error.__context__
                self.shown.append(f"{cause!r} {vars(error)!r} {error.args!r}")

    def command(self, *words: str, bare: bool = False) -> None:
        """Run a command of the operator, and keep what it prints; `bare` without an address."""
        env = {**os.environ, **({} if bare else {"INVOKEQ_REDIS_URL": self.url})}
        command = [sys.executable, "-m", "invokeq.cli", *words]
        done = subprocess.run(
            command, env=env, capture_output=True, text=True, check=False, timeout=30
        )
        self.shown += [done.stdout, done.stderr]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    directory = tmp_path_factory.mktemp("secrets")
    with (
        EmbeddedValkey.start(options={"requirepass": PASSWORD}) as server,
        vendor_server() as vendor,
    ):
        url = server.url.replace("redis://", f"redis://:{ENCODED}@")
        tables = {
            "vendor": {"type": "openai", "api_key": VENDOR_KEY, "base_url": f"{vendor.url}/v1"}
        }
        more = '[log]\nlevel = "debug"\n[retries]\ncalls = 1\n'
        with running_worker(url, directory, providers=tables, more=more) as worker:
            yield Scene(url, directory / "w1.toml", worker, vendor)


def found(text: str) -> list[str]:
    """Return the canaries found in a text."""
    return [canary for canary in CANARIES if canary in text]


def everything_in(client: redis.Redis) -> str:
    """Return the text of all keys and values, of every Redis type."""
    read: dict[bytes, Callable[[bytes], Any]] = {
        b"string": client.get,
        b"hash": client.hgetall,
        b"list": lambda key: client.lrange(key, 0, -1),
        b"set": client.smembers,
        b"zset": lambda key: client.zrange(key, 0, -1),
        b"stream": client.xrange,
    }
    names: list[Any] = list(client.keys("*"))
    types: list[Any] = [client.type(name) for name in names]
    entries = [(name, read[kind](name)) for name, kind in zip(names, types, strict=True)]
    return "\n".join(text for entry in entries for text in texts(entry))


def texts(value: Any) -> Iterator[str]:
    """Yield all text in a value, also text compressed by RQ."""
    match value:
        case bytes():
            yield value.decode(errors="replace")
            for pack in (value, _from_base64(value)):
                with suppress(zlib.error):
                    yield zlib.decompress(pack).decode(errors="replace")
        case dict():
            yield from texts(list(cast(dict[Any, Any], value).items()))
        case list() | tuple() | set():
            for item in cast(list[Any], value):
                yield from texts(item)
        case _:
            yield str(value)


def _from_base64(value: bytes) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except ValueError:
        return b""


def test_no_credential_can_be_read_anywhere(scene: Scene) -> None:
    scene.vendor.answer(chat("Hello", " there"))
    scene.call()
    for answer in FAILURES.values():
        scene.vendor.answer(answer)
        scene.call(deadline=5)
    assert len(scene.shown) >= 4 * (len(FAILURES) - 1)
    scene.vendor.answer(chat("Hello", end="hang"))
    with Session("acme", redis=scene.url) as session:
        running = session.model.llm.submit(MODEL, user("x"))
        running_items = iter(running)
        next(running_items)
        scene.command("status")
        scene.command("status", running.request_id)
        running.cancel()
    path = str(scene.config)
    scene.command("config", "check", "--config", path)
    scene.command("models", "--json")
    scene.command("health", "--config", path)
    scene.command("invoke", "llm", "-m", "vendor/gpt-4o-mini", "--deadline", "1", "x")
    scene.command("acl", "worker")
    settings = load_settings(scene.config, {})
    scene.shown += [repr(settings), str(settings), settings.model_dump_json()]
    with redis.Redis.from_url(scene.url, protocol=2) as client:
        stored = everything_in(client)
        assert "Hello" in stored
        assert "vendor" in stored
    assert found(stored) == []
    assert found("\n".join(scene.shown)) == []
    assert scene.vendor.asked[0].headers["authorization"] == f"Bearer {VENDOR_KEY}"
    log = scene.worker.log.read_text()
    assert "invocation failed" in log
    assert found(log) == []


@pytest.mark.parametrize("wrong", ["option", "url", "syntax"])
def test_a_wrong_setting_is_told_without_its_value(
    scene: Scene, tmp_path: Path, wrong: str
) -> None:
    path = tmp_path / "broken.toml"
    text = scene.config.read_text()
    key = f'api_key = "{VENDOR_KEY}"'
    path.write_text(
        {
            "option": text.replace(key, f'{key}\napi_keyy = "{VENDOR_KEY}"'),
            "url": text.replace("127.0.0.1:", "127.0.0.1:x", 1),
            "syntax": text.replace(key, key[:-1]),
        }[wrong]
    )
    scene.shown.clear()
    scene.command("config", "check", "--config", str(path), bare=True)
    scene.command("worker", "--pool", "main", "--config", str(path), bare=True)
    shown = "\n".join(scene.shown)
    assert shown.count("error: ") >= 2
    assert found(shown) == []


def test_an_unreachable_server_is_told_without_the_password(tmp_path: Path, scene: Scene) -> None:
    url = f"redis://someone:{ENCODED}@127.0.0.1:1/0"
    scene.shown.clear()
    path = tmp_path / "away.toml"
    path.write_text(scene.config.read_text().replace(scene.url, url))
    away = replace(scene, url=url)
    away.command("worker", "--pool", "main", "--config", str(path))
    away.command("config", "check", "--config", str(path))
    away.command("status")
    away.command("invoke", "llm", "-m", "vendor/gpt-4o-mini", "x")
    away.call()
    assert "127.0.0.1:1" in "\n".join(away.shown)
    assert found("\n".join(away.shown)) == []
