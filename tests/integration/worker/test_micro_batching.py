"""Many callers of one model at once, through a real worker: fewer runs, and the same vectors."""

import asyncio
import re
from pathlib import Path

import pytest

from invokeq import AsyncSession
from invokeq.protocol.entities import EmbeddingInputType, TextEmbeddingModelConfig
from tests.support.processes.worker import WorkerProcess, running_worker

CALLERS = 48
SENTENCE = "the committee met on Monday and discussed the budget of the coming year"
TEXTS = [f"{n}: {SENTENCE[: n * 2]}" for n in range(CALLERS)]
RERANKER = {"provider": "local", "model": "minilm-rerank"}
SHARED = re.compile(r"calls coalesced calls=(\d+)")


async def embed_all(session: AsyncSession, config: TextEmbeddingModelConfig) -> list[list[float]]:
    """Embed every text in a call of its own, all at once."""
    document = EmbeddingInputType.DOCUMENT
    results = await asyncio.gather(
        *(session.model.text_embedding.invoke(config, [text], document) for text in TEXTS)
    )
    return [result.embeddings[0] for result in results]


def saved_calls(worker: WorkerProcess) -> int:
    """Return the number of calls of the model saved by sharing a run."""
    return sum(int(shared) - 1 for shared in SHARED.findall(worker.log.read_text()))


@pytest.mark.local_model
async def test_callers_share_runs_of_a_local_model(redis_url: str, tmp_path: Path) -> None:
    """With `batch_texts = 0` no run is spared: the second provider shows it."""
    tables = {"local": {"type": "local"}, "alone": {"type": "local", "batch_texts": 0}}
    queues = ("text-embedding", "rerank")
    more = '[log]\nlevel = "debug"'
    with running_worker(redis_url, tmp_path, providers=tables, queues=queues, more=more) as worker:
        async with AsyncSession("acme", redis=redis_url) as session:
            alone = await embed_all(
                session, TextEmbeddingModelConfig(provider="alone", model="minilm")
            )
            assert saved_calls(worker) == 0
            ranked = asyncio.gather(
                *(session.model.rerank.invoke(RERANKER, TEXTS[:4], text) for text in TEXTS[:4])
            )
            batched = await embed_all(
                session, TextEmbeddingModelConfig(provider="local", model="minilm")
            )
            for place, result in enumerate(await ranked):
                assert result.docs[0].index == place
    assert saved_calls(worker) > CALLERS // 2
    for one, same in zip(batched, alone, strict=True):
        assert one == pytest.approx(same, abs=1e-6)


async def test_callers_share_calls_of_a_vendor_if_the_operator_says_so(
    redis_url: str, tmp_path: Path
) -> None:
    more = (
        '[log]\nlevel = "debug"\n'
        '[providers.joined]\ntype = "scripted"\nbatch = { texts = 16, wait_ms = 20 }'
    )
    with running_worker(redis_url, tmp_path, queues=("text-embedding",), more=more) as worker:
        async with AsyncSession("acme", redis=redis_url) as session:
            alone = await embed_all(
                session, TextEmbeddingModelConfig(provider="scripted", model="hash")
            )
            assert saved_calls(worker) == 0
            joined = TextEmbeddingModelConfig(provider="joined", model="hash")
            assert await embed_all(session, joined) == alone
    assert saved_calls(worker) > CALLERS // 2
