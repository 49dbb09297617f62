"""Fixtures of tests with a real server and real worker processes."""

from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

from invokeq import Session
from invokeq.protocol.entities import LLMModelConfig, UserPromptMessage
from invokeq.protocol.redis.keys import PERMANENT
from tests.support.processes.worker import WorkerProcess, running_worker


@pytest.fixture
def permanent_keys() -> Collection[str]:
    """Return the permanent keys, so that every other key needs a TTL."""
    return PERMANENT


@pytest.fixture
def worker(redis_url: str, tmp_path: Path) -> Iterator[WorkerProcess]:
    """Yield a worker with the scripted vendor."""
    with running_worker(redis_url, tmp_path) as process:
        yield process


@pytest.fixture
def session(redis_url: str) -> Iterator[Session]:
    """Yield a session of the plugin `acme`."""
    with Session("acme", "tenant-1", "user-1", redis=redis_url) as opened:
        yield opened


def stream_config(**plan: object) -> LLMModelConfig:
    """Return a model that follows a plan: see `invokeq_providers.scripted.Plan`."""
    return LLMModelConfig(
        provider="scripted", model="stream", mode="chat", completion_params=dict(plan)
    )


def user(text: str) -> list[UserPromptMessage]:
    """Return a conversation of one user message."""
    return [UserPromptMessage(content=text)]
