"""A Redis that is reached by its unix socket alone: client, worker, gateway and commands.

The sessions fail with `socket_keepalive` among the settings of the connections: tried.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from invokeq import AsyncSession, Session
from invokeq.errors import BrokerUnavailableError, InvalidConfigurationError
from invokeq_worker.process.embedded_server import EmbeddedValkey
from tests.integration.conftest import stream_config, user
from tests.support.processes.gateway import running_gateway
from tests.support.processes.worker import running_worker, write_config
from tests.support.waiting import eventually

PLAN = stream_config(chunks=5)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with EmbeddedValkey.start(port=None) as server:
        assert server.url.startswith("unix:///")
        yield server.url


def command(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "invokeq.cli", *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_sessions_workers_and_commands_meet_at_a_unix_socket(
    url: str, tmp_path: Path
) -> None:
    with running_worker(url, tmp_path) as worker:
        with Session("acme", redis=url) as session:
            assert len(list(session.model.llm.invoke(PLAN, user("x")))) == 6
        async with AsyncSession("acme", redis=url) as other:
            assert len([chunk async for chunk in other.model.llm.invoke(PLAN, user("x"))]) == 6
        (entry,) = json.loads(command("status", "--json", "--redis", url))["workers"]
        assert entry["name"] == worker.name
        with running_gateway(url, tmp_path) as gateway:
            eventually("a worker is seen", lambda: gateway.ask("GET", "/health")[0] == 200)
        assert worker.stop() == 0


def test_config_check_reaches_a_unix_socket(url: str, tmp_path: Path) -> None:
    path = write_config(tmp_path / "t.toml", url, providers={"scripted": {"type": "scripted"}})
    assert "(ok)" in command("config", "check", "--config", str(path))


async def test_a_socket_that_is_not_there_is_told(tmp_path: Path) -> None:
    url = f"unix://{tmp_path}/none.sock"
    with Session("acme", redis=url) as session, pytest.raises(BrokerUnavailableError, match="none"):
        session.workers()
    async with AsyncSession("acme", redis=url) as other:
        with pytest.raises(BrokerUnavailableError, match="none"):
            await other.workers()


@pytest.mark.parametrize("kind", [Session, AsyncSession])
@pytest.mark.parametrize(
    ("option", "problem"),
    [
        ("protocol=3", "has the option protocol, which invokeq sets itself"),
        ("db=1&decode_responses=True", "has the option decode_responses"),
        ("max_connections=5", "has the option max_connections"),
        ("nonsense=1", "has an option after the [?] that redis-py does not take"),
    ],
)
def test_an_option_that_would_break_connections_is_refused(
    kind: type[Session] | type[AsyncSession], option: str, problem: str
) -> None:
    """Seen: `protocol=3` and an unknown option ended in a TypeError at the first call."""
    for url in ("redis://127.0.0.1", "unix:///s.sock", "redis+sentinel://127.0.0.1/m"):
        with pytest.raises(InvalidConfigurationError, match=problem):
            kind("acme", redis=f"{url}?{option}")
