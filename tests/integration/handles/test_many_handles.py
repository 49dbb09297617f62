"""Handles that are held and not read stay alive as long as their process."""

import random
from typing import Any

from invokeq import Session
from tests.integration.conftest import stream_config, user
from tests.support.processes.worker import WorkerProcess

HANDLES = 200
CONFIG = stream_config(chunks=60, rate=10)
"""An answer that takes twice as long as an unread invocation would live."""


def test_handles_are_read_in_any_order(redis_url: str, worker: WorkerProcess) -> None:
    """Fails without the keeper: all but the first are cancelled as `consumer_gone`."""
    with Session("acme", redis=redis_url, orphan_timeout=3) as session:
        calls = [session.model.llm.prepare(CONFIG, user("x")) for _ in range(HANDLES)]
        handles = session.submit_many(calls)
        random.Random(14).shuffle(handles)
        results: list[Any] = [handle.result().message.content for handle in handles]
    assert len(set(results)) == 1
    assert results[0]
    for handle in handles:
        assert "finished" in worker.vendor_events(handle.request_id)
