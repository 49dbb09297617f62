"""A server, a proxy that can cut connections, and workers for faults to kill."""

import asyncio
import os
import signal
import tempfile
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import Self

from invokeq_worker.process.embedded_server import EmbeddedValkey
from tests.support.processes.worker import WorkerProcess, running_worker
from tests.support.servers.proxy import Proxy
from tests.support.waiting import eventually

AOF = {"appendonly": "yes", "appendfsync": "everysec"}


class Testbed:
    """The processes under test; workers connect through `proxy`, readers connect directly."""

    def __init__(self, directory: Path, stack: ExitStack, concurrency: int) -> None:
        self._directory = directory
        self._stack = stack
        self._concurrency = concurrency
        self._names = count(1)
        self._data = directory / "data"
        self._data.mkdir()
        self.server = EmbeddedValkey.start(data_directory=self._data, options=AOF)
        stack.callback(self._stop)
        port = self.server.port
        assert port is not None
        self._port = port
        self.proxy = stack.enter_context(Proxy.running(port))
        self.workers: list[WorkerProcess] = []

    @classmethod
    @contextmanager
    def running(cls, workers: int, concurrency: int = 500) -> Generator[Self]:
        """Run a testbed until the block ends."""
        with tempfile.TemporaryDirectory(prefix="invokeq-chaos-") as name, ExitStack() as stack:
            testbed = cls(Path(name), stack, concurrency)
            for _ in range(workers):
                testbed.start_worker()
            yield testbed

    @property
    def url(self) -> str:
        return self.server.url

    def _stop(self) -> None:
        self.server.stop()  # looked up late: `start_server` may have replaced the first server

    def start_worker(self) -> WorkerProcess:
        """Start one more worker, and wait until the worker has its lease."""
        worker = self._stack.enter_context(
            running_worker(
                f"redis://127.0.0.1:{self.proxy.port}/0",
                self._directory,
                name=f"w{next(self._names)}",
                concurrency=self._concurrency,
            )
        )
        self.workers.append(worker)
        return worker

    async def replace(self, worker: WorkerProcess) -> None:
        """Start a worker in place of an ended or ending worker."""
        self.workers.remove(worker)
        await asyncio.to_thread(self.start_worker)

    def kill_server(self) -> None:
        """Kill the server as a power cut does: unsaved writes are lost."""
        assert self.server.pid is not None
        os.kill(self.server.pid, signal.SIGKILL)
        eventually("the server is dead", lambda: not self.server.running)
        self.server.stop()

    def start_server(self) -> None:
        """Restart the server on the same port, with the saved data."""
        self.server = EmbeddedValkey.start(port=self._port, data_directory=self._data, options=AOF)
