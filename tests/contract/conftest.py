"""Servers of vendors, shared by test files; each runs once per session."""

import ssl
from collections.abc import AsyncGenerator, Generator

import pytest

from tests.contract.vendors import Aimock, running_aimock, running_llama
from tests.support.vendors.recorded import Recorded, recorded_server


@pytest.fixture(scope="session")
def aimock_server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Aimock, None, None]:
    with running_aimock(tmp_path_factory.mktemp("aimock")) as aimock:
        yield aimock


@pytest.fixture
def aimock(aimock_server: Aimock) -> Generator[Aimock, None, None]:
    aimock_server.reset()
    yield aimock_server
    aimock_server.reset()


@pytest.fixture(scope="session")
def llama_url() -> Generator[str, None, None]:
    with running_llama("chat") as url:
        yield url


@pytest.fixture(scope="session")
def llama_embeddings_url() -> Generator[str, None, None]:
    with running_llama("embeddings") as url:
        yield url


@pytest.fixture
async def recorded() -> AsyncGenerator[Recorded, None]:
    async with recorded_server() as server:
        yield server


@pytest.fixture
def no_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make HTTP clients without loading certificates, which takes longer than most tests."""

    def load_nothing(*_: object, **__: object) -> None:
        pass

    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", load_nothing)


@pytest.fixture(params=["aiohttp", "httpx"])
def http(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run with and without aiohttp, which is optional."""
    if request.param == "httpx":
        monkeypatch.setattr("invokeq_providers.http.client.has_aiohttp", lambda: False)
