"""A model plugin behind a worker: in the catalog, callable, without a trace of credentials."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from invokeq import Session
from invokeq.errors import CredentialsError
from invokeq.protocol.entities import LLMModelConfig, RerankModelConfig
from tests.integration.conftest import user
from tests.support.dify.plugins import ECHO, KEY
from tests.support.processes.worker import WorkerProcess, running_worker

pytestmark = pytest.mark.timeout(240)

QUEUES = ("llm", "text-embedding", "rerank", "tts", "speech2text", "moderation")
MORE = """
[providers.echo.credentials]
api_key = "${ECHO_KEY}"
[providers.echo.models.mine.credentials]
api_key = "${ECHO_KEY}"
[log]
level = "debug"
"""
TABLE = {"echo": {"type": "dify_plugin", "path": str(ECHO), "python": sys.executable}}


@pytest.fixture
def plugin_worker(redis_url: str, tmp_path: Path) -> Iterator[WorkerProcess]:
    """A worker with the plugin as the only provider, and debug logs."""
    env = {"ECHO_KEY": KEY}
    with running_worker(
        redis_url, tmp_path, providers=TABLE, queues=QUEUES, more=MORE, env=env
    ) as process:
        yield process


def model(name: str) -> LLMModelConfig:
    return LLMModelConfig(provider="echo", model=name, mode="chat")


def test_a_plugin_serves_calls_from_the_queue(
    plugin_worker: WorkerProcess, session: Session, redis_url: str
) -> None:
    """`mine` has no context size where the catalog is made before the plugin has started."""
    command = [sys.executable, "-m", "invokeq.cli", "models", "--json", "--redis", redis_url]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    listed = {row["model"]: row for row in json.loads(done.stdout)}
    assert {"echo-small", "echo-large", "echo-embedding", "mine"} <= listed.keys()
    assert listed["mine"]["model_properties"]["context_size"] == 2048

    chunks = session.model.llm.invoke(model("echo-large"), user("one two three"))
    assert "".join(str(chunk.delta.message.content) for chunk in chunks) == "one two three"
    whole = session.model.llm.invoke(model("mine"), user("mine too"), stream=False)
    assert whole.message.content == "mine too"
    ranker = RerankModelConfig(provider="echo", model="echo-rerank", score_threshold=0.5, top_n=2)
    ranked = session.model.rerank.invoke(ranker, ["b", "a b", "c"], "a b")
    assert [doc.text for doc in ranked.docs] == ["a b", "b"]
    with pytest.raises(CredentialsError):
        session.model.llm.invoke(model("echo-large"), user("fail: bad key"), stream=False)
    assert plugin_worker.stop() == 0
    log = plugin_worker.log.read_text()
    assert KEY not in log
    assert "worker ready" in log


def test_a_worker_with_refused_credentials_ends_with_one_line(
    redis_url: str, tmp_path: Path
) -> None:
    with (
        pytest.raises(AssertionError, match="error: Credentials of provider echo: ") as caught,
        running_worker(
            redis_url, tmp_path, providers=TABLE, more=MORE, env={"ECHO_KEY": "wrong-wrong"}
        ),
    ):
        pass
    assert "Traceback" not in str(caught.value)
    assert "wrong-wrong" not in str(caught.value)
