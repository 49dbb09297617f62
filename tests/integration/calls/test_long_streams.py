"""No wall stands in the way of a long answer: what bounds waiting does not bound the whole.

A profile in which every bound is short, and an answer that takes many times as long as each: the
lease of a worker and of a reader, the time to be picked up, the vendor's silence, a read that
blocks. Twelve seconds of it are what twenty minutes are to the bounds as they are by default.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from invokeq import Session
from invokeq.operations import reader
from tests.integration.conftest import stream_config, user
from tests.support.paths import PROGRAMS
from tests.support.processes.worker import STOP_SECONDS, WorkerProcess, await_worker, write_config

PROGRAM = PROGRAMS / "short_bounds_worker.py"
SECONDS, RATE = 12, 5
SHORT = 1
"""Seconds: twelve times shorter than the answer, and five times longer than between two chunks."""


@pytest.mark.slow
def test_an_answer_is_not_cut_however_many_times_longer_than_every_bound_it_is(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails if a bound counts from the start: chunks that do not renew `last_activity_at` were
    tried, and a `_bound_pickup` that forgets that the run has started."""
    monkeypatch.setattr(reader, "BLOCK_MS", 50)
    monkeypatch.setattr(reader, "LOST_AFTER", 0.3)
    journal = tmp_path / "fast.journal"
    config = write_config(
        tmp_path / "fast.toml",
        redis_url,
        providers={"scripted": {"type": "scripted", "journal_file": str(journal)}},
        limits={"provider_silence": SHORT, "shutdown_grace": SHORT},
    )
    log = tmp_path / "fast.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, str(PROGRAM), str(config), "fast"],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    worker = WorkerProcess(process, "fast", log, journal)
    try:
        await_worker(redis_url, worker)
        with Session(
            "acme", redis=redis_url, pickup_timeout=SHORT, orphan_timeout=SHORT
        ) as session:
            slow = stream_config(chunks=SECONDS * RATE, rate=RATE)
            invocation = session.model.llm.submit(slow, user("x"))
            chunks = list(invocation)
        assert len(chunks) >= SECONDS * RATE
        assert chunks[-1].delta.finish_reason == "stop"
        assert worker.vendor_events(invocation.request_id) == ["started", "finished"]
        assert worker.stop() == 0
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(STOP_SECONDS)
