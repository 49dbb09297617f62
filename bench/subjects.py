"""What is measured: invokeq and RQ's two workers, behind one small interface."""

import os
import subprocess
import sys
import tempfile
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import redis
from rq import Queue, Worker

from invokeq import Session
from invokeq.protocol import keys
from invokeq.protocol.entities import LLMModelConfig, UserPromptMessage

READY_SECONDS = 30.0
"""How long a worker may take to sign on."""

PLAN = {"chunks": 1, "chunk_size": 1, "usage": False}
CONFIG = LLMModelConfig(
    provider="scripted", model="stream", mode="chat", completion_params=dict(PLAN)
)
MESSAGES = [UserPromptMessage(content="x")]


class Subject(ABC):
    """One system under measurement: a worker process, and a client in this process."""

    name: ClassVar[str]

    def __init__(self, url: str, directory: Path) -> None:
        self.url = url
        self.directory = directory
        self.redis = redis.Redis.from_url(url, protocol=2)
        self.took = 0.0

    @abstractmethod
    def command(self) -> list[str]:
        """Give the command line of the worker."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Tell whether the worker has signed on."""

    @abstractmethod
    def first_chunk(self) -> None:
        """Enqueue one job and read its first chunk, noting the time in `took`; then read on."""

    @abstractmethod
    def fill(self, jobs: int) -> None:
        """Enqueue jobs that nobody reads."""

    @abstractmethod
    def finished(self) -> int:
        """Count the jobs in the registry of finished ones."""

    def suspend(self) -> None:
        self.redis.set(keys.SUSPENDED, 1)

    def resume(self) -> None:
        self.redis.delete(keys.SUSPENDED)

    @contextmanager
    def running(self) -> Generator[int]:
        """Run the worker process; gives its pid."""
        env = {**os.environ, "BENCH_REDIS_URL": self.url}
        with (self.directory / f"{self.name}.log").open("wb") as log:
            process = subprocess.Popen(self.command(), stdout=log, stderr=log, env=env)
        try:
            give_up = time.monotonic() + READY_SECONDS
            while not self.is_ready():
                if process.poll() is not None or time.monotonic() > give_up:
                    raise RuntimeError(f"{self.name} does not start: see {log.name}")
                time.sleep(0.05)
            yield process.pid
        finally:
            process.terminate()
            process.wait(30)


class Invokeq(Subject):
    """One worker process with the scripted vendor."""

    name = "invokeq"

    def __init__(self, url: str, directory: Path) -> None:
        super().__init__(url, directory)
        self.session = Session("bench", redis=url)

    def command(self) -> list[str]:
        config = self.directory / "invokeq.toml"
        config.write_text(
            f'[redis]\nurl = "{self.url}"\n[providers.scripted]\n[pools.llm]\nqueues = ["llm"]\n'
        )
        return [sys.executable, "-m", "invokeq_worker", "--pool", "llm", "--config", str(config)]

    def is_ready(self) -> bool:
        return bool(self.redis.zcard(keys.LEASES))

    def first_chunk(self) -> None:
        chunks = self.session.model.llm.invoke(CONFIG, MESSAGES)
        next(chunks)
        self.took = time.perf_counter()
        list(chunks)

    def fill(self, jobs: int) -> None:
        for _ in range(jobs):
            self.session.model.llm.submit(CONFIG, MESSAGES, detached=True)

    def finished(self) -> int:
        return int(self.redis.zcard(keys.registry("finished", "llm:bench")))  # type: ignore[arg-type]


class Stock(Subject):
    """A worker of RQ's own."""

    worker_class: ClassVar[str]

    def __init__(self, url: str, directory: Path) -> None:
        super().__init__(url, directory)
        self.queue = Queue("bench", connection=self.redis)

    def command(self) -> list[str]:
        rq = str(Path(sys.executable).with_name("rq"))
        return [rq, "worker", "-u", self.url, "-w", self.worker_class, "--quiet", "bench"]

    def is_ready(self) -> bool:
        return Worker.count(connection=self.redis) > 0

    def first_chunk(self) -> None:
        stream = f"bench:{uuid.uuid4().hex}"
        self.queue.enqueue("bench.stock.answer", stream, result_ttl=600)
        self.redis.xread({stream: "0-0"}, block=30_000)
        self.took = time.perf_counter()

    def fill(self, jobs: int) -> None:
        for _ in range(jobs):
            stream = f"bench:{uuid.uuid4().hex}"
            self.queue.enqueue("bench.stock.answer", stream, result_ttl=600)

    def finished(self) -> int:
        return int(self.redis.zcard(self.queue.finished_job_registry.key))  # type: ignore[arg-type]


class SimpleWorker(Stock):
    name = "rq SimpleWorker"
    worker_class = "rq.worker.SimpleWorker"


class ForkingWorker(Stock):
    name = "rq Worker"
    worker_class = "rq.worker.Worker"


SUBJECTS: tuple[type[Subject], ...] = (Invokeq, SimpleWorker, ForkingWorker)


@contextmanager
def workplace() -> Generator[Path]:
    """A directory for logs and configurations, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="invokeq-bench-") as directory:
        yield Path(directory)
