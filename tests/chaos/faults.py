"""The faults: each is injected once into a place under load, and is over when it returns."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import redis

from invokeq.protocol.redis import keys
from tests.chaos.load import BOUND, Load
from tests.chaos.place import Place
from tests.support.waiting import eventually_async

LEASE_SECONDS: Final = 5.0
SHORT_CUT: Final = 3.0
LONG_CUT: Final = 10.0
DOWN_SECONDS: Final = 1.0
FROZEN_SECONDS: Final = 30.0
KILLS: Final = 10


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault, the workers it needs, and the typed errors that its readers may be told."""

    name: str
    inject: Callable[[Place, Load], Awaitable[float | None]]
    """Gives the seconds of the recovery, if streams recover while the fault lasts."""

    workers: int = 2
    allowed: tuple[str, ...] = ()
    heals: bool = True
    """Whether recovery counts from the end of the injection, when all is well again."""


async def kill_worker(place: Place, load: Load) -> None:
    """Kill -9 the worker that has been there longest, in the middle of its streams."""
    worker = place.workers[0]
    worker.process.kill()
    worker.process.wait()
    await place.replace(worker)


async def _freeze(place: Place, load: Load, seconds: float) -> float:
    """Stop a worker for so long, and until others have taken over, and wake it up again."""
    worker = place.workers[0]
    begun = time.monotonic()
    worker.process.send_signal(signal.SIGSTOP)
    try:
        with redis.Redis.from_url(place.url) as admin:
            await eventually_async(
                "others have noticed",
                lambda: admin.zscore(keys.LEASES, worker.name) is None,
                within=BOUND,
            )
        await load.recovery(time.monotonic())
        recovered = time.monotonic() - begun
        await asyncio.sleep(begun + seconds - time.monotonic())
    finally:
        worker.process.send_signal(signal.SIGCONT)
    return recovered


async def freeze_worker(place: Place, load: Load) -> float:
    """Stop a worker for half a minute, while others do its work."""
    return await _freeze(place, load, FROZEN_SECONDS)


async def freeze_worker_shortly(place: Place, load: Load) -> float:
    """Stop a worker until others have taken over from it, and no longer."""
    return await _freeze(place, load, 0.0)


async def restart_workers(place: Place, load: Load) -> None:
    """Start a new worker for each one, and end the old one with SIGTERM."""
    for worker in list(place.workers):
        await place.replace(worker)
        code = await asyncio.to_thread(worker.stop)
        assert code == 0, f"{worker.name} ended with {code}"


async def kill_server(place: Place, load: Load) -> None:
    """Kill -9 the server, and start it again a second later with what its file holds."""
    await asyncio.to_thread(place.kill_server)
    await asyncio.sleep(DOWN_SECONDS)
    await asyncio.to_thread(place.start_server)


async def _cut(place: Place, seconds: float) -> None:
    place.proxy.cut()
    await asyncio.sleep(seconds)
    place.proxy.resume()


async def cut_network_shortly(place: Place, load: Load) -> None:
    """Cut every connection between workers and server for less than a lease lives."""
    await _cut(place, SHORT_CUT)


async def cut_network(place: Place, load: Load) -> None:
    """Cut it for so long that the workers count as dead, as if they had been killed."""
    await _cut(place, LONG_CUT)


async def stall_network(place: Place, load: Load) -> None:
    """Let what workers say disappear, without a sign, until they have noticed; then heal."""
    place.proxy.stall()
    await asyncio.sleep(LEASE_SECONDS / 2)
    place.proxy.resume()  # connections that were open then stay dead


async def kill_connections(place: Place, load: Load) -> None:
    """Close every connection of workers and readers at the server, ten times over."""
    with redis.Redis.from_url(place.url) as admin:
        for _ in range(KILLS):
            admin.client_kill_filter(_type="normal", skipme=True)
            admin.client_kill_filter(_type="pubsub", skipme=True)
            await asyncio.sleep(0.2)


FAULTS: Final = (
    Fault("kill -9 of a worker", kill_worker, 3, ("WorkerLostError",), heals=False),
    Fault("a worker stopped (SIGSTOP) for 30 s", freeze_worker, 3, ("WorkerLostError",)),
    Fault("rolling restart of 4 workers", restart_workers, 4),
    Fault("kill -9 of Redis, back after 1 s", kill_server),
    Fault("network between workers and Redis cut for 3 s", cut_network_shortly),
    Fault("the same for 10 s", cut_network, allowed=("WorkerLostError", "NoWorkerError")),
    Fault("half-open connections", stall_network),
    Fault("all connections closed, 10 times", kill_connections),
)
