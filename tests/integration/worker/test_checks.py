"""What is found out about a server before anything is built on it."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis

from invokeq.protocol.errors import (
    BrokerUnavailableError,
    InvalidConfigurationError,
    ServerUnsupportedError,
)
from invokeq_worker.config.redis_settings import RedisSettings
from invokeq_worker.process.embedded_server import EmbeddedValkey
from invokeq_worker.redis.server_check import check_server, open_client


class Server(redis.Redis):
    """A server that says it has version `version`."""

    version = ""

    def info(self, section: str | None = None, *args: str, **kwargs: Any) -> dict[str, str]:
        assert section == "server"
        return {"redis_version": self.version}


@pytest.fixture(scope="module")
def guarded() -> Iterator[str]:
    """The port of a server that wants a password, and has a user with few rights."""
    with EmbeddedValkey.start(options={"requirepass": "right-password"}) as server:
        with redis.Redis.from_url(server.socket_url, password="right-password") as client:
            client.execute_command("ACL", "SETUSER", "few", "on", ">few-rights", "+ping", "+hello")
        yield f"127.0.0.1:{server.port}/0"


def check(url: str, connect_timeout: float = 5.0) -> None:
    settings = RedisSettings.model_validate({"url": url, "connect_timeout": connect_timeout})
    with open_client(settings) as client:
        check_server(client, settings.address)


def test_every_server_that_is_tested_with_passes(redis_url: str) -> None:
    check(redis_url)


@pytest.mark.parametrize("version", ["6.2.0", "6.2.14", "7.0.15", "7.2.4", "10.0.0"])
def test_recent_versions_pass(version: str) -> None:
    with Server() as server:
        server.version = version
        check_server(server, "redis://here")


@pytest.mark.parametrize("version", ["5.0.14", "6.0.16", "6.1.240", "2.8", "?"])
def test_old_versions_do_not(version: str) -> None:
    with Server() as server:
        server.version = version
        with pytest.raises(ServerUnsupportedError) as caught:
            check_server(server, "redis://here")
    assert str(caught.value) == (
        f"The Redis server at redis://here is version {version}; invokeq needs 6.2 or newer"
    )


def test_a_closed_port_is_unavailable() -> None:
    with pytest.raises(BrokerUnavailableError, match=r"^Redis at redis://127\.0\.0\.1:1/0 cannot"):
        check("redis://127.0.0.1:1/0")


def test_a_server_that_never_answers_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(BrokerUnavailableError):
            check(f"redis://127.0.0.1:{port}/0", connect_timeout=0.1)


def test_something_else_than_redis_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as web, ThreadPoolExecutor() as pool:

        def answer() -> None:
            connection, _ = web.accept()
            with connection:
                connection.recv(1)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        answered = pool.submit(answer)
        with pytest.raises(BrokerUnavailableError):
            check(f"redis://127.0.0.1:{web.getsockname()[1]}/0")
        answered.result(10)


@pytest.mark.parametrize(
    ("user", "complaint"),
    [
        ("", "Authentication required"),
        (":wrong-password@", "invalid username-password pair"),
        ("few:few-rights@", "no permissions to run the 'info' command"),
    ],
)
def test_refused_credentials_are_the_operators_to_change(
    guarded: str, user: str, complaint: str
) -> None:
    with pytest.raises(InvalidConfigurationError) as caught:
        check(f"redis://{user}{guarded}")
    text = str(caught.value)
    assert text.startswith(f"Redis at redis://{guarded}: redis.url: the server refuses this user")
    assert complaint in text
    assert "wrong-password" not in text


def test_the_right_password_passes(guarded: str) -> None:
    check(f"redis://:right-password@{guarded}")
