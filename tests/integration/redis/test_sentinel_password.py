"""Sentinels that want a password of their own, which is in the URL and is shown nowhere.

Fails when either side leaves `address.asking` out of what it connects with: both tried.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from invokeq import AsyncSession, Session
from invokeq.errors import BrokerUnavailableError, InvokeqError
from invokeq.transport.connect import make_client
from invokeq_worker.config.loading import load_settings
from tests.integration.conftest import stream_config, user
from tests.support.processes.worker import WorkerProcess, running_worker
from tests.support.servers.clusters import RunningSentinel, running_sentinel

PASSWORD = "canary-of-sentinel/with+odd=&signs"
ENCODED = "canary-of-sentinel%2Fwith%2Bodd%3D%26signs"
CANARIES = (PASSWORD, ENCODED, "canary-of")
PLAN = stream_config(chunks=3)
BOUND = 60.0


@pytest.fixture(scope="module")
def sentinel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSentinel]:
    with running_sentinel(tmp_path_factory.mktemp("sentinel"), PASSWORD) as running:
        yield running


@pytest.fixture(scope="module")
def worker(
    sentinel: RunningSentinel, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WorkerProcess]:
    directory = tmp_path_factory.mktemp("worker")
    more = '[log]\nlevel = "debug"\n'
    with running_worker(sentinel.url, directory, more=more) as running:
        yield running


def found(text: str) -> list[str]:
    return [canary for canary in CANARIES if canary in text]


def everything_of(error: InvokeqError) -> str:
    cause = error.__cause__ or error.__context__
    return f"{error} {error!r} {error.to_wire()} {cause!r} {vars(error)!r}"


@pytest.mark.usefixtures("worker")
def test_everybody_finds_the_master(sentinel: RunningSentinel, worker: WorkerProcess) -> None:
    async def read() -> int:
        async with AsyncSession("acme", redis=sentinel.url) as session:
            return len([chunk async for chunk in session.model.llm.invoke(PLAN, user("x"))])

    with Session("acme", redis=sentinel.url) as session:
        assert len(list(session.model.llm.invoke(PLAN, user("x")))) == 4
    assert asyncio.run(read()) == 4
    with make_client(sentinel.url, 5.0) as client:
        assert client.ping()
    assert worker.stop() == 0
    assert found(worker.log.read_text()) == []


@pytest.mark.parametrize("password", [None, "canary-of-somebody-else"])
def test_who_is_refused_is_told_without_the_password(
    sentinel: RunningSentinel, password: str | None, tmp_path: Path
) -> None:
    url = sentinel.url.partition("?")[0]
    url += f"?sentinel_password={password}" if password else ""
    with (
        Session("acme", redis=url) as session,
        pytest.raises(BrokerUnavailableError, match="mymaster") as caught,
    ):
        session.workers()
    shown = [everything_of(caught.value)]
    path = tmp_path / "invokeq.toml"
    path.write_text(
        f'[redis]\nurl = "{url}"\n[pools.main]\nqueues = ["llm"]\n[providers.scripted]\n'
    )
    commands = (("config", "check"), ("health",), ("worker", "--pool", "main"))
    shown += [command(*words, "--config", str(path)) for words in commands]
    shown.append(command("status", "--redis", url))
    settings = load_settings(path, {})
    shown += [repr(settings), str(settings), settings.model_dump_json()]
    assert found("\n".join(shown)) == []
    assert "mymaster" in shown[-4]


def command(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "invokeq.cli", *words],
        env={name: value for name, value in os.environ.items() if name != "INVOKEQ_REDIS_URL"},
        capture_output=True,
        text=True,
        timeout=BOUND,
        check=False,
    )
    assert done.returncode != 0
    return done.stdout + done.stderr
