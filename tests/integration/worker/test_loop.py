"""The worker's loop is never held up: no callback computes for over 50 ms, whatever is asked."""

import asyncio
import io
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from invokeq import AsyncSession
from invokeq.protocol.entities import (
    LLMModelConfig,
    TextEmbeddingModelConfig,
)
from invokeq_providers.scripted.speech import speak
from tests.integration.conftest import user
from tests.support.processes import watched_worker
from tests.support.processes.watched_worker import LONGEST_MS, MARK
from tests.support.processes.worker import WorkerProcess, running_worker
from tests.support.servers.server import Server
from tests.support.waiting import eventually_async

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

QUEUES = ("llm", "text-embedding", "rerank", "tts", "speech2text", "moderation")
MEGABYTE = 1024 * 1024
LINE = "All work and no play makes a dull boy of anybody who tries it for long.\n"
LONG_WORD = "x" * 9_999 + "\n"
"""Little work for the scripted vendor, which counts words on the loop, as no real one does."""

BOUNDS_MS = {
    # Reading one long text is one call into C that lets nothing else run, on the loop or in a
    # thread: 1 to 3 ms a megabyte, twice that on a busy machine. A session sends 32 MB at the most.
    "test_large_prompts": 150.0,
    "test_the_largest_prompt": 400.0,
}
"""What cannot be mended, and what it may take."""

SCHEMA = {
    "type": "object",
    "properties": {
        f"field_{n}": {"type": "array", "items": {"type": "string"}} for n in range(500)
    },
}


@pytest.fixture(scope="module")
def worker(
    redis_server: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WorkerProcess]:
    """A watched worker for all tests of this module."""
    redis_server.erase()
    directory = tmp_path_factory.mktemp("watched")
    more = """
        [providers.wide]
        type = "scripted"
        embedding = { dimensions = 1536 }
        speech2text = { text = "hello" }
    """
    with running_worker(
        redis_server.url,
        directory,
        queues=QUEUES,
        summary_model="scripted/echo",
        program=[watched_worker.__file__],
        concurrency=1000,
        more=more,
    ) as process:
        yield process


@pytest.fixture
async def models(
    request: pytest.FixtureRequest, redis_server: Server, worker: WorkerProcess
) -> AsyncIterator[AsyncSession]:
    """A session; when the test is done, no callback may have been slow."""
    before = len(_slow(worker))
    async with AsyncSession("acme", redis=redis_server.url) as session:
        yield session
    bound = BOUNDS_MS.get(request.node.originalname, LONGEST_MS)
    assert [what for spent, what in _slow(worker)[before:] if spent > bound] == []


def _slow(worker: WorkerProcess) -> list[tuple[float, str]]:
    lines = worker.log.read_text().splitlines()
    found = (line.removeprefix(MARK) for line in lines if line.startswith(MARK))
    return [(float(text.partition(" ")[0]), text) for text in found]


def config(model: str, **plan: object) -> LLMModelConfig:
    return LLMModelConfig(
        provider="scripted", model=model, mode="chat", completion_params=dict(plan)
    )


def test_the_watch_names_what_computes_for_too_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a thread computes holds nobody up."""

    def compute() -> None:
        until = time.thread_time() + 2 * LONGEST_MS / 1000
        while time.thread_time() < until:
            pass

    async def blocks() -> None:
        await asyncio.sleep(0)
        compute()

    monkeypatch.setattr(asyncio.events.Handle, "_run", watched_worker.watched)
    asyncio.run(blocks())
    asyncio.run(asyncio.to_thread(compute))
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(MARK)
    assert "blocks > sleep" in line


async def test_vectors(models: AsyncSession) -> None:
    texts = [f"text {n}" for n in range(1000)]
    wide = TextEmbeddingModelConfig(provider="wide", model="hash")
    for found in await asyncio.gather(
        *(models.model.text_embedding.invoke(wide, texts) for _ in range(3))
    ):
        assert len(found.embeddings) == 1000
        assert len(found.embeddings[0]) == 1536


async def test_rankings(models: AsyncSession) -> None:
    docs = [f"{n} {LINE * 10}" for n in range(1000)]
    reranker = {"provider": "scripted", "model": "overlap"}
    results = await asyncio.gather(
        *(models.model.rerank.invoke(reranker, docs, "dull boy") for _ in range(4))
    )
    assert [len(result.docs) for result in results] == [1000] * 4


async def test_long_speech(models: AsyncSession) -> None:
    voice = {"provider": "scripted", "model": "silence", "voice": "ann"}
    segments = [s async for s in await models.model.tts.submit(voice, LINE * 2000)]
    assert len(segments) > 100


async def test_a_long_recording(models: AsyncSession) -> None:
    recording = speak("hello", "ann", frames=200_000)
    hearing = {"provider": "wide", "model": "tags"}
    heard = await asyncio.gather(
        *(models.model.speech2text.invoke(hearing, io.BytesIO(recording)) for _ in range(3))
    )
    assert heard == ["hello"] * 3


async def test_objects(models: AsyncSession) -> None:
    structured = models.model.llm_structured_output
    results = await asyncio.gather(
        *(
            structured.invoke(config("structured"), user("x"), SCHEMA, stream=False)
            for _ in range(10)
        )
    )
    assert {len(result.structured_output or {}) for result in results} == {500}


async def test_a_summary_of_a_long_text(models: AsyncSession) -> None:
    assert await models.model.summary.invoke(LINE * 20_000, "short")


async def test_large_prompts(models: AsyncSession) -> None:
    prompts = [user(LONG_WORD * (10 * MEGABYTE // len(LONG_WORD))) for _ in range(3)]
    stream = config("stream", chunks=3)
    answers = await asyncio.gather(
        *(models.model.llm.invoke(stream, prompt, stream=False) for prompt in prompts)
    )
    assert all(answer.message.content for answer in answers)


async def test_the_largest_prompt(models: AsyncSession) -> None:
    prompt = user(LONG_WORD * (30 * MEGABYTE // len(LONG_WORD)))
    assert await models.model.llm.invoke(config("stream", chunks=3), prompt, stream=False)


async def test_long_conversations(models: AsyncSession) -> None:
    """Of many small messages: 95 ms at once, without the slices of `decoding`."""
    conversation = [*user(LINE)] * 20_000
    stream = config("stream", chunks=3)
    assert await models.model.llm.invoke(stream, conversation, stream=False)


async def test_a_large_text_is_judged(models: AsyncSession) -> None:
    judge = {"provider": "scripted", "model": "words"}
    assert await models.model.moderation.invoke(judge, LINE * 20_000) is False


async def test_many_streams(models: AsyncSession) -> None:
    stream = config("stream", chunks=50, rate=25)

    async def read() -> int:
        return sum([1 async for _ in await models.model.llm.submit(stream, user("x"))])

    counts = await asyncio.gather(*(read() for _ in range(200)))
    assert set(counts) == {51}


async def test_one_fast_stream(models: AsyncSession) -> None:
    stream = config("stream", chunks=20_000)
    count = sum([1 async for _ in await models.model.llm.submit(stream, user("x"))])
    assert count == 20_001


async def test_a_storm_of_cancels(models: AsyncSession, worker: WorkerProcess) -> None:
    hanging = config("stream", chunks=50, hang_after=1)
    calls = [await models.model.llm.submit(hanging, user("x")) for _ in range(300)]

    def running() -> bool:
        return all("started" in worker.vendor_events(call.request_id) for call in calls[-5:])

    await eventually_async("all run", running)
    await asyncio.gather(*(call.cancel() for call in calls))

    def closed() -> bool:
        return all("closed" in worker.vendor_events(call.request_id) for call in calls[-5:])

    await eventually_async("all are closed", closed)


async def test_a_queue_of_many_small_jobs(models: AsyncSession) -> None:
    one = config("stream", chunks=1)
    jobs = (models.model.llm.invoke(one, user("x"), stream=False) for _ in range(1000))
    assert len(await asyncio.gather(*jobs)) == 1000
