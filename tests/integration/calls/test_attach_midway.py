"""Reading on from the middle: each kind of answer goes on exactly, or says that it cannot be whole.

Each test stops after every event of a stream in turn, as a reader might that is cut off.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from invokeq import Session
from invokeq.errors import PartialAnswerError
from invokeq.protocol.entities import LLMResultChunk
from invokeq.results.ranking import RankedBatch, RankingEnd
from invokeq.results.vectors import EmbeddingEnd, VectorBatch
from tests.integration.conftest import stream_config, user
from tests.support.processes.worker import running_worker
from tests.support.servers.server import Server

TEXTS = [f"text number {n}" for n in range(200)]
VECTORS = {"provider": "scripted", "model": "hash"}
RANKER = {"provider": "scripted", "model": "overlap"}
SPEECH = {"provider": "scripted", "model": "silence", "voice": "ann"}


@pytest.fixture(scope="module")
def url(redis_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    redis_server.erase()
    queues = ("llm", "text-embedding", "rerank", "tts")
    directory = tmp_path_factory.mktemp("midway")
    with running_worker(redis_server.url, directory, queues=queues):
        yield redis_server.url


@pytest.fixture
def session(url: str) -> Iterator[Session]:
    with Session("acme", redis=url) as opened:
        yield opened


def cuts(session: Session, request_id: str) -> Iterator[tuple[list[Any], str]]:
    """Every place where a reader may stop: what it has read by then, and the id to go on from."""
    invocation = session.attach(request_id)
    read: list[Any] = []
    for item in invocation:
        read.append(item)
        yield list(read), invocation.last_id


def test_vectors_go_on_and_are_no_whole_without_the_first(session: Session) -> None:
    whole = session.model.text_embedding.submit(VECTORS, TEXTS, detached=True)
    expected = whole.result().embeddings
    places = list(cuts(session, whole.request_id))
    assert len(places) > 4
    for read, last_id in places:
        rest = list(session.attach(whole.request_id, last_id))
        rows = [row for part in [*read, *rest] if isinstance(part, VectorBatch) for row in part[1]]
        assert rows == expected
        assert isinstance([*read, *rest][-1], EmbeddingEnd)
        with pytest.raises(PartialAnswerError, match="without `after`"):
            session.attach(whole.request_id, last_id).result()
    assert session.attach(whole.request_id, "1-0").result().embeddings == expected


def test_rankings_go_on_and_are_no_whole_without_the_first(session: Session) -> None:
    docs = [f"d{n}" for n in range(20_000)]
    whole = session.model.rerank.submit(RANKER, docs, "d7 d9", detached=True)
    expected = [(doc.index, doc.score) for doc in whole.result().docs]
    places = list(cuts(session, whole.request_id))
    assert len(places) > 3
    for read, last_id in places:
        parts = [*read, *session.attach(whole.request_id, last_id)]
        found = [doc for part in parts if isinstance(part, RankedBatch) for doc in part.docs]
        assert [(doc.index, doc.score) for doc in found] == expected
        assert isinstance(parts[-1], RankingEnd)
        with pytest.raises(PartialAnswerError):
            session.attach(whole.request_id, last_id).result()


def test_speech_goes_on_segment_by_segment(session: Session) -> None:
    whole = session.model.tts.submit(SPEECH, "One sentence here. " * 60, detached=True)
    expected = whole.result()
    places = list(cuts(session, whole.request_id))
    assert len(places) > 3
    for read, last_id in places[:-1]:
        assert b"".join(read) + session.attach(whole.request_id, last_id).result() == expected
    with pytest.raises(PartialAnswerError):  # there is nothing left that could be joined
        session.attach(whole.request_id, places[-1][1]).result()
    assert list(session.attach(whole.request_id, places[-1][1])) == []


Ask = Callable[[Session], Any]
ASK: dict[str, Ask] = {
    "llm": lambda s: s.model.llm.submit(stream_config(chunks=5), user("hi"), detached=True),
    "structured": lambda s: s.model.llm_structured_output.submit(
        {"provider": "scripted", "model": "echo"},
        user('{"a": true, "b": 2}'),
        {"type": "object"},
        detached=True,
    ),
}


@pytest.mark.parametrize("kind", ASK)
def test_text_goes_on_chunk_by_chunk(session: Session, kind: str) -> None:
    whole = ASK[kind](session)
    expected = whole.result()
    same = session.attach(whole.request_id).result()
    assert same.message == expected.message
    places = list(cuts(session, whole.request_id))
    for read, last_id in places[:-1]:
        rest = session.attach(whole.request_id, last_id)
        result = rest.result()
        said = "".join(_text(chunk) for chunk in read) + result.message.content
        assert said == expected.message.content
        assert rest.usage == whole.usage
        if kind == "structured":
            assert result.structured_output == expected.structured_output == {"a": True, "b": 2}
    with pytest.raises(PartialAnswerError):
        session.attach(whole.request_id, places[-1][1]).result()


def _text(chunk: LLMResultChunk) -> str:
    return chunk.delta.message.get_text_content()
