"""TLS and passwords on the way to Redis, for clients, workers and the operator's commands."""

import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

from invokeq import AsyncSession, Session
from invokeq.errors import BrokerUnavailableError, InvalidConfigurationError
from invokeq_worker.process.embedded_server import EmbeddedValkey
from tests.integration.conftest import stream_config, user
from tests.support.processes.worker import running_worker, write_config
from tests.support.servers.proxy import Proxy

PASSWORD = "p@ss:w/rd#?% in full"
ECHO = {"provider": "scripted", "model": "echo"}
OPENSSL = [
    *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=test"),
    *("-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"),
]


def make_certificate(directory: Path, name: str) -> tuple[Path, Path]:
    """Make a certificate that is its own authority; gives its file and that of its key."""
    certificate, key = directory / f"{name}.pem", directory / f"{name}.key"
    files = ["-out", str(certificate), "-keyout", str(key)]
    subprocess.run(["openssl", *OPENSSL, *files], check=True, capture_output=True)
    return certificate, key


@dataclass(frozen=True, slots=True)
class Secured:
    """A server that can be reached by TLS only, with a password."""

    plain: str
    port: int
    certificate: Path
    other: Path

    def url(self, ca: Path | None = None, password: str = PASSWORD, scheme: str = "rediss") -> str:
        query = f"?ssl_ca_certs={quote(str(ca))}" if ca else ""
        return f"{scheme}://:{quote(password, safe='')}@127.0.0.1:{self.port}/0{query}"


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    directory = tmp_path_factory.mktemp("tls")
    certificate, key = make_certificate(directory, "server")
    other, _ = make_certificate(directory, "other")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    with EmbeddedValkey.start(options={"requirepass": PASSWORD}) as server:
        assert server.port is not None
        plain = server.url.replace("redis://", f"redis://:{quote(PASSWORD, safe='')}@")
        with Proxy.running(server.port, tls) as proxy:
            yield Secured(plain, proxy.port, certificate, other)


async def test_calls_go_over_tls(secured: Secured, tmp_path: Path) -> None:
    url = secured.url(secured.certificate)
    env = {"INVOKEQ_REDIS_URL": url}
    with running_worker(secured.plain, tmp_path, env=env) as worker:
        with Session("acme", redis=url) as session:
            assert session.model.llm.invoke(ECHO, user("x"), stream=False).message.content == "x"
            chunks = list(session.model.llm.invoke(stream_config(chunks=50), user("x")))
            assert len(chunks) == 51
        async with AsyncSession("acme", redis=url) as other:
            found = [chunk async for chunk in other.model.llm.invoke(ECHO, user("x"))]
            assert found
        assert worker.stop() == 0
        assert PASSWORD not in worker.log.read_text()


@pytest.mark.parametrize("authority", ["none", "another"])
def test_a_server_that_nobody_vouches_for_is_refused(secured: Secured, authority: str) -> None:
    ca = secured.other if authority == "another" else None
    with (
        Session("acme", redis=secured.url(ca)) as session,
        pytest.raises(BrokerUnavailableError, match="certificate verify failed") as caught,
    ):
        session.workers()
    assert quote(PASSWORD, safe="") not in repr(caught.value)


def test_plain_text_is_refused(secured: Secured) -> None:
    with (
        Session("acme", redis=secured.url(scheme="redis")) as session,
        pytest.raises(BrokerUnavailableError),
    ):
        session.workers()


def test_a_wrong_password_is_told_over_tls_too(secured: Secured) -> None:
    with (
        Session("acme", redis=secured.url(secured.certificate, "wrong canary")) as session,
        pytest.raises(InvalidConfigurationError, match=r"WRONGPASS|invalid") as caught,
    ):
        session.workers()
    assert "canary" not in repr(caught.value) + str(caught.value)


def test_config_check_goes_over_tls(secured: Secured, tmp_path: Path) -> None:
    url = secured.url(secured.certificate)
    path = write_config(tmp_path / "t.toml", url, providers={"scripted": {"type": "scripted"}})
    command = [sys.executable, "-m", "invokeq.cli", "config", "check", "--config", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "(ok)" in done.stdout
    assert PASSWORD not in done.stdout
    assert quote(PASSWORD, safe="") not in done.stdout
