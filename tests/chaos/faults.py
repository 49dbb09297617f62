"""The faults: each function injects one fault into a testbed under load, and returns after it."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import redis

from invokeq.protocol.redis import keys
from tests.chaos.load import BOUND, Load
from tests.chaos.testbed import Testbed
from tests.support.waiting import eventually_async

LEASE_SECONDS: Final = 5.0
SHORT_CUT: Final = 3.0
LONG_CUT: Final = 10.0
DOWN_SECONDS: Final = 1.0
FROZEN_SECONDS: Final = 30.0
KILLS: Final = 10


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault, the number of workers, and the typed errors that readers may get."""

    name: str
    inject: Callable[[Testbed, Load], Awaitable[float | None]]
    """Return the seconds of the recovery if streams recover during the fault, else None."""

    workers: int = 2
    allowed: tuple[str, ...] = ()
    heals: bool = True
    """Whether recovery counts from the end of the injection; else from its start."""


async def kill_worker(testbed: Testbed, load: Load) -> None:
    """Kill the oldest worker with SIGKILL in the middle of its streams."""
    worker = testbed.workers[0]
    worker.process.kill()
    worker.process.wait()
    await testbed.replace(worker)


async def _freeze(testbed: Testbed, load: Load, seconds: float) -> float:
    """Stop a worker for `seconds`, or longer until others have taken over; then continue it."""
    worker = testbed.workers[0]
    begun = time.monotonic()
    worker.process.send_signal(signal.SIGSTOP)
    try:
        with redis.Redis.from_url(testbed.url) as admin:
            await eventually_async(
                "another worker has reaped the lease",
                lambda: admin.zscore(keys.LEASES, worker.name) is None,
                within=BOUND,
            )
        await load.recovery(time.monotonic())
        recovered = time.monotonic() - begun
        await asyncio.sleep(begun + seconds - time.monotonic())
    finally:
        worker.process.send_signal(signal.SIGCONT)
    return recovered


async def freeze_worker(testbed: Testbed, load: Load) -> float:
    """Stop a worker for half a minute, while other workers take over."""
    return await _freeze(testbed, load, FROZEN_SECONDS)


async def freeze_worker_shortly(testbed: Testbed, load: Load) -> float:
    """Stop a worker only until other workers have taken over."""
    return await _freeze(testbed, load, 0.0)


async def restart_workers(testbed: Testbed, load: Load) -> None:
    """Start a new worker for each old worker, and end the old worker with SIGTERM."""
    for worker in list(testbed.workers):
        await testbed.replace(worker)
        code = await asyncio.to_thread(worker.stop)
        assert code == 0, f"{worker.name} ended with {code}"


async def kill_server(testbed: Testbed, load: Load) -> None:
    """Kill the server with SIGKILL, and restart it a second later from its append-only file."""
    await asyncio.to_thread(testbed.kill_server)
    await asyncio.sleep(DOWN_SECONDS)
    await asyncio.to_thread(testbed.start_server)


async def _cut(testbed: Testbed, seconds: float) -> None:
    testbed.proxy.cut()
    await asyncio.sleep(seconds)
    testbed.proxy.resume()


async def cut_network_shortly(testbed: Testbed, load: Load) -> None:
    """Cut every connection between workers and server for less than the life of a lease."""
    await _cut(testbed, SHORT_CUT)


async def cut_network(testbed: Testbed, load: Load) -> None:
    """Cut every connection until the leases lapse and the workers count as dead."""
    await _cut(testbed, LONG_CUT)


async def stall_network(testbed: Testbed, load: Load) -> None:
    """Drop all bytes from workers silently until the workers notice; then forward again."""
    testbed.proxy.stall()
    await asyncio.sleep(LEASE_SECONDS / 2)
    testbed.proxy.resume()  # connections that were open in the stall stay dead


async def kill_connections(testbed: Testbed, load: Load) -> None:
    """Close every connection of workers and readers at the server, ten times over."""
    with redis.Redis.from_url(testbed.url) as admin:
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
