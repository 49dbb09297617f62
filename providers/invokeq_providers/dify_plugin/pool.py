"""Keep the processes of a plugin alive, and pick the process for each call.

A call goes to the process with the fewest sessions. An ended process is restarted at once the first
time, then after a delay that doubles. While no process is alive, calls wait for a process that is
starting. If none is starting, calls fail at once with the seconds until the next start.
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
    """Return the seconds until the restart after `short_lives` short lives in a row, from 1."""
    return 0.0 if short_lives <= 1 else min(FIRST_DELAY * 2.0 ** (short_lives - 2), LAST_DELAY)


@dataclass(slots=True)
class _Place:
    """One place in the pool; `due` is the time of the next start, on the loop's clock."""

    process: PluginProcess | None = None
    due: float = 0.0
    short_lives: int = 0


class ProcessPool:
    """The processes of one plugin; `start_one` starts another process."""

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
        """The number of open sessions, over all processes."""
        return sum(process.sessions for process in self.alive)

    @property
    def alive(self) -> list[PluginProcess]:
        """The processes that take calls."""
        found = (place.process for place in self._places)
        return [process for process in found if process is not None and not process.ended]

    async def start(self) -> None:
        """Start the first process; the others follow in the background.

        Raise the error of the first start.
        """
        self._places[0].process = await self._start_one()
        loop = asyncio.get_running_loop()
        self._keepers = [loop.create_task(self._keep(place)) for place in self._places]

    async def close(self) -> None:
        """End all processes."""
        # The keepers first: a keeper would restart a closed process.
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        alive = [place.process for place in self._places if place.process is not None]
        await asyncio.gather(*(process.close() for process in alive))

    async def pick(self) -> PluginProcess:
        """Return the process for the next call.

        Raise PluginCrashedError with `retry_after` while no process is alive or starting.
        """
        loop = asyncio.get_running_loop()
        async with self._changed:
            while True:
                if alive := self.alive:
                    return min(alive, key=lambda process: process.sessions)
                # A place that is due is starting now, and `_tell` follows either outcome.
                wait = min(place.due for place in self._places) - loop.time()
                if wait > 0:
                    raise PluginCrashedError(
                        plugin=self._plugin,
                        problem="it will be started again",
                        retry_after=round(wait, 1),
                    )
                await self._changed.wait()

    async def _keep(self, place: _Place) -> None:
        """Start and restart the process of one place, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            if place.process is None:
                try:
                    place.process = await self._start_one()
                except InvokeqError as error:
                    log.warning("plugin start failed plugin=%s problem=%s", self._plugin, error)
            await self._tell()
            if place.process is not None:
                ending = await place.process.wait()
                log.warning("plugin ended plugin=%s problem=%s", self._plugin, ending.problem)
                # On debug only: stderr may quote prompts.
                log.debug("plugin output plugin=%s text=%s", self._plugin, ending.stderr)
                place.process = None
                # After a long life the delays start over: one crash a day is no crash loop.
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
