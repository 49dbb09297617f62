"""Redis that is not there, is not Redis, refuses, dies and comes back, or is full."""

import contextlib
import os
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis

from invokeq import Session
from invokeq.errors import (
    BrokerFullError,
    BrokerUnavailableError,
    InvalidConfigurationError,
    InvokeqError,
)
from invokeq_worker.process.embedded_server import EmbeddedValkey
from tests.integration.conftest import stream_config, user
from tests.support.processes.worker import running_worker
from tests.support.waiting import eventually

ECHO = {"provider": "scripted", "model": "echo"}
AOF = {"appendonly": "yes", "appendfsync": "everysec"}


def ask(url: str) -> list[object]:
    with Session("acme", redis=url) as session:
        return list(session.model.llm.invoke(ECHO, user("x")))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_nobody_listens() -> None:
    with pytest.raises(BrokerUnavailableError, match=r"127\.0\.0\.1"):
        ask(f"redis://:secret@127.0.0.1:{free_port()}/0")


def test_the_password_is_never_in_the_error() -> None:
    with pytest.raises(InvokeqError) as caught:
        ask(f"redis://user:canary-secret@127.0.0.1:{free_port()}/0")
    assert "canary" not in repr(caught.value) + str(caught.value.to_wire())


@pytest.mark.parametrize("url", ["http://127.0.0.1", "nonsense", "redis://127.0.0.1:notaport"])
def test_a_url_that_is_none(url: str) -> None:
    with pytest.raises(InvalidConfigurationError, match="Redis: url"):
        Session("acme", redis=url)


def test_something_else_listens() -> None:
    answered = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)

        def answer() -> None:
            while not answered.is_set():
                with contextlib.suppress(TimeoutError):
                    connection, _address = server.accept()
                    with connection:
                        connection.recv(1024)
                        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            with pytest.raises(BrokerUnavailableError):
                ask(f"redis://127.0.0.1:{server.getsockname()[1]}/0")
        finally:
            answered.set()
            thread.join()


def test_a_wrong_password() -> None:
    with EmbeddedValkey.start(options={"requirepass": "right"}) as server:
        wrong = server.url.replace("redis://", "redis://:wrong@")
        with pytest.raises(InvalidConfigurationError, match=r"WRONGPASS|invalid username-password"):
            ask(wrong)


def test_a_full_server_refuses_new_work_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    with (
        EmbeddedValkey.start(options={"maxmemory-policy": "noeviction"}) as server,
        running_worker(server.url, tmp_path) as worker,
        Session("acme", redis=server.url) as session,
        redis.Redis.from_url(server.url) as admin,
    ):
        running = session.model.llm.submit(stream_config(chunks=60, rate=100), user("x"))
        items = iter(running)
        next(items)
        admin.config_set("maxmemory", 1)
        with pytest.raises(BrokerFullError, match="full"):
            session.model.llm.submit(ECHO, user("x"))
        eventually("the worker was refused", lambda: "redis unavailable" in worker.log.read_text())
        admin.config_set("maxmemory", 0)
        assert len(list(items)) == 60
        assert list(session.model.llm.invoke(ECHO, user("x")))


def test_streams_survive_the_servers_death(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    first = EmbeddedValkey.start(data_directory=data, options=AOF)
    port = first.port
    assert port is not None
    plan = stream_config(chunks=100, rate=50)
    with running_worker(first.url, tmp_path) as worker, Session("acme", redis=first.url) as session:
        begun = threading.Barrier(21)

        def read(_: int) -> list[str]:
            chunks = session.model.llm.invoke(plan, user("x"))
            texts = [next(chunks).model_dump_json()]
            begun.wait(20)
            return texts + [chunk.model_dump_json() for chunk in chunks]

        with ThreadPoolExecutor(20) as threads:
            readers = [threads.submit(read, number) for number in range(20)]
            begun.wait(20)
            assert first.pid is not None
            os.kill(first.pid, signal.SIGKILL)
            eventually("it is dead", lambda: not first.running)
            first.stop()
            with EmbeddedValkey.start(port=port, data_directory=data, options=AOF):
                answers = [reader.result(40) for reader in readers]
                assert [len(answer) for answer in answers] == [101] * 20
                assert all(len(set(answer)) == 101 for answer in answers)
                assert "redis reconnected" in worker.log.read_text()
                assert list(session.model.llm.invoke(ECHO, user("after")))
                assert worker.stop() == 0
