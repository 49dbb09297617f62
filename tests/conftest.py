"""Fixtures for every test: a real server, its address, and a client."""

from collections.abc import Collection, Generator, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import redis

from tests.support.processes.interrupts import let_children_be_interrupted
from tests.support.processes.leftovers import end_processes_on_failure
from tests.support.servers.leaked_keys import leaked_keys
from tests.support.servers.server import (
    CLUSTER,
    Server,
    ServerMissingError,
    chosen_servers,
    running_server,
)

_CHOSEN = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Refuse an unknown server before the first test, and prepare signals for child processes."""
    let_children_be_interrupted()
    try:
        config.stash[_CHOSEN] = chosen_servers(str(config.getoption("--server")))
    except ValueError as error:
        raise pytest.UsageError(f"--server: {error}") from error


def pytest_report_header(config: pytest.Config) -> str:
    """Return a header line with the servers of this run."""
    return f"servers: {', '.join(config.stash[_CHOSEN])}"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test that uses a server once for each chosen server."""
    if "redis_server" in metafunc.fixturenames:
        names = metafunc.config.stash[_CHOSEN]
        metafunc.parametrize("redis_server", names, indirect=True, scope="session")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests about one server on a cluster, with the reason of their mark."""
    for item in items:
        mark = item.get_closest_marker("one_server")
        spec: Any = getattr(item, "callspec", None)
        if mark and spec and CLUSTER in str(spec.params.get("redis_server")):
            item.add_marker(pytest.mark.skip(reason=f"one server: {mark.args[0]}"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    """Run a test; end leftover processes of a failed test."""
    with end_processes_on_failure():
        return (yield)


@pytest.fixture(scope="session")
def redis_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Yield a server that runs for the whole session."""
    name: str = request.param
    with ExitStack() as stack:
        try:
            server = stack.enter_context(running_server(name))
        except (ServerMissingError, redis.ConnectionError) as error:
            raise pytest.fail.Exception(f"server {name}: {error}", pytrace=False) from None
        yield server


@pytest.fixture
def redis_url(redis_server: Server) -> str:
    """Return the address of an empty database."""
    redis_server.erase()
    return redis_server.url


@pytest.fixture
def redis_client(redis_server: Server, redis_url: str) -> Iterator[redis.Redis]:
    """Yield a synchronous client of the empty database."""
    with redis_server.connect() as client:
        yield client


@pytest.fixture
def permanent_keys() -> Collection[str] | None:
    """Return glob patterns of keys without a need for a TTL; None leaves the keys unchecked.

    A folder or module that overrides this fixture has all its tests checked.
    """
    return None


@pytest.fixture(autouse=True)
def keys_have_ttl(
    request: pytest.FixtureRequest, permanent_keys: Collection[str] | None
) -> Iterator[None]:
    """Fail a test with leftover keys without a TTL."""
    if permanent_keys is None or "redis_url" not in request.fixturenames:
        yield
        return
    client: redis.Redis = request.getfixturevalue("redis_client")
    yield
    assert leaked_keys(client, permanent_keys) == []
