"""Keeps the processes of a plugin alive, and says which one takes the next call.

Each call goes to the process with the fewest open ones. A process that ends is started again at
once the first time, then after a while that doubles; while none is alive calls wait for one that is
being started, and fail at once, with the time to wait, if none is.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from invokeq.dify.plugins import PluginProcess
from invokeq.protocol.errors import InvokeqError, PluginCrashedError

FIRST_DELAY: Final = 1.0
LAST_DELAY: Final = 60.0
"""Seconds before the second and before any later start of a process that does not live long."""

HEALTHY_AFTER: Final = 60.0
"""Seconds of life after which a crash counts as the first one."""

log: Final = logging.getLogger(__name__)


def restart_delay(short_lives: int) -> float:
    """Give the seconds to wait after so many short lives in a row, from 1."""
    return 0.0 if short_lives <= 1 else min(FIRST_DELAY * 2.0 ** (short_lives - 2), LAST_DELAY)


@dataclass(slots=True)
class _Place:
    """One place in the pool; `due` is when it is started again, on the loop's clock."""

    process: PluginProcess | None = None
    due: float = 0.0
    short_lives: int = 0


class ProcessPool:
    """The processes of one plugin; `start_one` makes another."""

    def __init__(
        self, plugin: str, size: int, start_one: Callable[[], Awaitable[PluginProcess]]
    ) -> None:
        self._plugin = plugin
        self._start_one = start_one
        self._places = [_Place() for _ in range(size)]
        self._changed = asyncio.Condition()
        self._keepers: list[asyncio.Task[None]] = []

    @property
    def sessions(self) -> int:
        """How many sessions are open, with all processes."""
        return sum(process.sessions for process in self.alive)

    @property
    def alive(self) -> list[PluginProcess]:
        """The processes that take calls."""
        found = (place.process for place in self._places)
        return [process for process in found if process is not None and not process.ended]

    async def start(self) -> None:
        """Start the first process, and raise if it does not start; the others follow beside."""
        self._places[0].process = await self._start_one()
        loop = asyncio.get_running_loop()
        self._keepers = [loop.create_task(self._keep(place)) for place in self._places]

    async def close(self) -> None:
        """End all processes."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        alive = [place.process for place in self._places if place.process is not None]
        await asyncio.gather(*(process.close() for process in alive))

    async def pick(self) -> PluginProcess:
        """Give the process for the next call; raises PluginCrashedError with `retry_after`."""
        loop = asyncio.get_running_loop()
        async with self._changed:
            while True:
                if alive := self.alive:
                    return min(alive, key=lambda process: process.sessions)
                wait = min(place.due for place in self._places) - loop.time()
                if wait > 0:
                    raise PluginCrashedError(
                        plugin=self._plugin,
                        problem="it will be started again",
                        retry_after=round(wait, 1),
                    )
                await self._changed.wait()

    async def _keep(self, place: _Place) -> None:
        """Start, and start again, what runs in one place."""
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            if place.process is None:
                try:
                    place.process = await self._start_one()
                except InvokeqError as error:
                    log.warning("plugin %s did not start: %s", self._plugin, error)
            await self._tell()
            if place.process is not None:
                ending = await place.process.wait()
                log.warning("process of plugin %s ended: %s", self._plugin, ending.problem)
                log.debug("the last words of plugin %s: %s", self._plugin, ending.stderr)
                place.process = None
                if loop.time() - began >= HEALTHY_AFTER:
                    place.short_lives = 0
            place.short_lives += 1
            delay = restart_delay(place.short_lives)
            place.due = loop.time() + delay
            await self._tell()
            await asyncio.sleep(delay)

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()
