"""What answers cost in bytes: floats and audio travel as they are, and in parts."""

from collections.abc import Iterator

import pytest

from bench.bytes import Traffic, embeddings, json_of_vectors, serving, speech
from invokeq import Session
from tests.support.servers.server import Server

pytestmark = pytest.mark.one_server("counts the bytes that one server gets and sends")

ALLOWED = 1.1
"""Times the bytes of the answer itself: what goes through the server, heartbeats included."""

LARGEST = 600_000
"""Bytes of one value in Redis."""


@pytest.fixture(scope="module")
def session(redis_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    redis_server.erase()
    with serving(redis_server.url, tmp_path_factory.mktemp("bytes")) as opened:
        yield opened


def check(traffic: Traffic) -> None:
    for name in ("written", "read", "stored"):
        assert getattr(traffic, name) <= ALLOWED * traffic.answer, name
    assert traffic.largest <= LARGEST
    assert traffic.entries > traffic.answer / LARGEST


def test_vectors_cost_four_bytes_a_number(session: Session, redis_server: Server) -> None:
    traffic = embeddings(redis_server.url, session)
    check(traffic)
    assert min(json_of_vectors().values()) > 3 * traffic.written


def test_audio_costs_what_it_is(session: Session, redis_server: Server) -> None:
    traffic = speech(redis_server.url, session)
    assert traffic.answer >= 239_200  # a minute of it
    check(traffic)
