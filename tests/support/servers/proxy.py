"""A TCP proxy on loopback that can cut, stall and resume, and speak TLS to its clients."""

import asyncio
import ssl
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from enum import Enum
from typing import Self

_CHUNK = 64 * 1024
_BOUND = 60.0


class State(Enum):
    """How the proxy treats a new connection."""

    OPEN = "forwarded"
    CUT = "closed at once"
    STALLED = "accepted, and its bytes are dropped"


class _Pair:
    """A client's connection, and the connection to the server behind."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter | None) -> None:
        self.writers = [writer for writer in (client, server) if writer is not None]
        self.stalled = server is None

    def abort(self) -> None:
        for writer in self.writers:
            writer.transport.abort()


class Proxy:
    """A proxy to port `target` on 127.0.0.1. All public methods are thread-safe.

    A connection that was open during a stall stays dead; connections made after `resume()` work.
    """

    def __init__(self, target: int, tls: ssl.SSLContext | None = None) -> None:
        self._target = target
        self._tls = tls
        self._loop = asyncio.new_event_loop()
        self._pairs: set[_Pair] = set()
        self._state = State.OPEN
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._ready = threading.Event()
        self.port = 0
        self.accepted = 0
        self.swallowed = 0

    @classmethod
    @contextmanager
    def running(cls, target: int, tls: ssl.SSLContext | None = None) -> Generator[Self]:
        """Run a proxy on a free port until the block ends."""
        proxy = cls(target, tls)
        proxy._thread.start()
        assert proxy._ready.wait(_BOUND)
        try:
            yield proxy
        finally:
            proxy._call(proxy._end)
            proxy._thread.join(_BOUND)

    def cut(self) -> None:
        """Break every connection, and refuse new connections."""
        self._call(lambda: self._turn(State.CUT))

    def stall(self) -> None:
        """Accept and keep every connection, and forward no byte: half-open connections."""
        self._call(lambda: self._turn(State.STALLED))

    def resume(self) -> None:
        """Forward new connections again."""
        self._call(lambda: self._turn(State.OPEN))

    def _turn(self, state: State) -> None:
        self._state = state
        for pair in list(self._pairs):
            if state is State.CUT:
                pair.abort()
            elif state is State.STALLED:
                pair.stalled = True

    def _call(self, act: Callable[[], None]) -> None:
        done = threading.Event()

        def call() -> None:
            act()
            done.set()

        self._loop.call_soon_threadsafe(call)
        assert done.wait(_BOUND)

    def _run(self) -> None:
        with suppress(RuntimeError):  # stopped in the middle of run_forever: that is its end
            self._loop.run_until_complete(self._serve())
            self._loop.run_forever()
        self._loop.close()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls)
        self._server = server
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()

    def _end(self) -> None:
        self._server.close()
        for pair in list(self._pairs):
            pair.abort()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.call_later(0.01, self._loop.stop)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self._state is State.CUT:
            writer.transport.abort()
            return
        tasks: list[asyncio.Task[None]] = []
        pair = _Pair(writer, None)
        with suppress(OSError):
            if self._state is State.OPEN:
                answers, server = await asyncio.open_connection("127.0.0.1", self._target)
                pair = _Pair(writer, server)
                tasks.append(asyncio.create_task(self._pump(pair, answers, writer)))
                tasks.append(asyncio.create_task(self._pump(pair, reader, server)))
            else:
                tasks.append(asyncio.create_task(self._pump(pair, reader, writer)))
            self._pairs.add(pair)
            with suppress(asyncio.CancelledError):
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        self._pairs.discard(pair)
        pair.abort()

    async def _pump(
        self, pair: _Pair, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(_CHUNK):
                if pair.stalled:
                    self.swallowed += len(data)
                else:
                    writer.write(data)
                    await writer.drain()
