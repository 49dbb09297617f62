"""A model and the one thread that runs the model.

Calls queue for the thread in the order of arrival. A call cancelled in the queue never starts. A
call cancelled while running ends at the next `Stop.check`. The first `load` or call loads the
model.

While the thread makes progress, with any call, every waiting call emits heartbeats. A model that
hangs emits none, so the bound on a provider's silence holds.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Generic, TypeVar

from invokeq.protocol.errors import (
    InternalError,
    InvalidConfigurationError,
    InvocationCancelledError,
    InvokeqError,
)
from invokeq_providers.options import CONFIG_SOURCE

_ALIVE_S: Final = 5.0  # how often the thread is looked at

LoadedT = TypeVar("LoadedT")
ResultT = TypeVar("ResultT")


class Stop:
    """A request, from the event loop, to end the work in the thread."""

    def __init__(self, on_check: Callable[[], None] = lambda: None) -> None:
        self._event = threading.Event()
        self._on_check = on_check

    @property
    def requested(self) -> bool:
        """Whether the work should end."""
        return self._event.is_set()

    def request(self) -> None:
        """Ask the work to end."""
        self._event.set()

    def check(self) -> None:
        """Raise InvocationCancelledError if the work should end; call after each part of the work.

        Each check counts as progress, and so causes heartbeats.
        """
        self._on_check()
        if self.requested:
            # Seen by callers only while the model is being closed: a cancelled call has no reader.
            raise InvocationCancelledError(reason="shutdown")


class ThreadedModel(Generic[LoadedT]):
    """Base of the models; `name` appears in errors and in the name of the thread."""

    def __init__(self, name: str, loader: Callable[[], LoadedT]) -> None:
        self.name = name
        self.busy: bool = False  # whether the model computes at this moment
        self._loader = loader
        self._loaded: LoadedT | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"invokeq-{name}")
        self._stops: set[Stop] = set()
        self._steps = 0
        self._closed = False

    async def load(self) -> None:
        """Load the model now instead of at the first call."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._load)

    async def run(
        self,
        work: Callable[[LoadedT, Stop], ResultT],
        heartbeat: Callable[[], None] = lambda: None,
    ) -> ResultT:
        """Return the result of `work`, run with the model in the model's thread.

        Raise the InvokeqError of `work`, InternalError for any other exception, and
        InvalidConfigurationError for a model that cannot be loaded.
        """
        stop = Stop(self._step)
        self._stops.add(stop)
        steps = self._steps
        done = asyncio.get_running_loop().run_in_executor(self._thread, self._work, work, stop)
        try:
            while not (await asyncio.wait({done}, timeout=_ALIVE_S))[0]:
                # `_steps` counts the thread's progress with all calls, not with this call alone.
                if steps != self._steps:
                    steps = self._steps
                    heartbeat()
            return done.result()
        finally:
            # Cancelled in the queue, the work never starts; running, `stop` ends the work.
            done.cancel()
            stop.request()
            self._stops.discard(stop)

    async def close(self) -> None:
        """Stop the running work and free the memory; idempotent. No call may follow."""
        if self._closed:
            return
        self._closed = True
        for stop in self._stops:
            stop.request()
        await asyncio.get_running_loop().run_in_executor(self._thread, self._unload)
        self._thread.shutdown(wait=False)

    def _step(self) -> None:
        self._steps += 1

    def _work(self, work: Callable[[LoadedT, Stop], ResultT], stop: Stop) -> ResultT:
        stop.check()
        loaded = self._load()
        self.busy = True
        try:
            return work(loaded, stop)
        except InvokeqError:
            raise
        except Exception as error:
            detail = f"{self.name}: {type(error).__name__}: {error}"
            raise InternalError(detail=detail) from error
        finally:
            self.busy = False

    def _load(self) -> LoadedT:
        if self._loaded is None:
            try:
                self._loaded = self._loader()
            except Exception as error:
                problem = f"cannot be loaded: {type(error).__name__}: {error}"
                setting = f"model {self.name}"
                raise InvalidConfigurationError(
                    source=CONFIG_SOURCE, setting=setting, problem=problem
                ) from error
        return self._loaded

    def _unload(self) -> None:
        self._loaded = None
