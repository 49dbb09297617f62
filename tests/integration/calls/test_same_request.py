"""One request id from a hundred clients at once: one vendor call, a hundred whole answers."""

import os
import subprocess
import sys

from tests.support.paths import PROGRAMS, ROOT
from tests.support.processes.worker import WorkerProcess

PROGRAM = PROGRAMS / "same_request_program.py"
PROCESSES, THREADS = 4, 25
REQUEST = "5a" * 16


def start(url: str) -> subprocess.Popen[str]:
    path = (str(ROOT), os.environ.get("PYTHONPATH"))
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), url, REQUEST, str(THREADS)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))},
    )


def test_a_hundred_racing_clients_share_one_vendor_call(
    redis_url: str, worker: WorkerProcess
) -> None:
    """Fails when `submit` enqueues without taking the id: `_take_id` that is always true was tried,
    and called the vendor more than once."""
    racers = [start(redis_url) for _ in range(PROCESSES)]
    try:
        for racer in racers:
            assert racer.stdout is not None
            assert racer.stdout.readline() == "ready\n"
        for racer in racers:
            assert racer.stdin is not None
            racer.stdin.write("go\n")
            racer.stdin.flush()
        answers = [line for racer in racers for line in racer.communicate(timeout=120)[0].split()]
    finally:
        for racer in racers:
            racer.kill()
            racer.wait()
    assert answers == ["." * 150] * (PROCESSES * THREADS)
    assert worker.vendor_events(REQUEST) == ["started", "finished"]
