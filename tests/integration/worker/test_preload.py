"""A pool loads the models that it serves, and no others."""

from pathlib import Path

import pytest

from invokeq import Session
from tests.support.processes.worker import WorkerProcess, running_worker

MAPS = Path("/proc/self/maps")

pytestmark = [
    pytest.mark.local_model,
    pytest.mark.skipif(not MAPS.exists(), reason="needs /proc to see what a process has loaded"),
]

LLM = "xllamacpp"
VECTORS = "onnxruntime"


def loaded(worker: WorkerProcess) -> set[str]:
    """Which runtimes a process has in its memory."""
    maps = Path(f"/proc/{worker.pid}/maps").read_text()
    return {name for name in (LLM, VECTORS) if f"/{name}/" in maps or f"{name}." in maps}


@pytest.mark.parametrize(
    ("queues", "preload", "expected"),
    [
        (("text-embedding",), True, {VECTORS}),
        (("llm",), True, {LLM}),
        (("llm", "text-embedding"), False, set[str]()),
    ],
)
def test_a_worker_loads_what_its_queues_need(
    redis_url: str, tmp_path: Path, queues: tuple[str, ...], preload: bool, expected: set[str]
) -> None:
    """Fails if a pool for vectors loads the LLM; tried with `start()` without model types."""
    providers = {"local": {"type": "local", "preload": preload}}
    with running_worker(redis_url, tmp_path, providers=providers, queues=queues) as worker:
        assert loaded(worker) == expected


def test_a_queue_of_another_provider_needs_no_local_model(redis_url: str, tmp_path: Path) -> None:
    providers = {"local": {"type": "local"}, "scripted": {"type": "scripted"}}
    queues = ("llm.scripted", "text-embedding")
    with (
        running_worker(redis_url, tmp_path, providers=providers, queues=queues) as worker,
        Session("acme", redis=redis_url) as session,
    ):
        assert loaded(worker) == {VECTORS}
        config = {"provider": "local", "model": "minilm"}
        assert len(session.model.text_embedding.invoke(config, ["a"]).embeddings[0]) == 384
