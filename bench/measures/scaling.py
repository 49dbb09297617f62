"""More worker processes: no-ops a second with one, and with as many as there are cores."""

import os
from typing import Final

from bench.catalog import INVOKEQ
from bench.measures.noop import SECONDS, WARM_SHARE
from bench.running import LANE, await_count, await_leases, start_client, start_worker
from bench.setting import Setting
from invokeq.protocol.redis import keys

NAME: Final = "processes"
TITLE: Final = "No-op invocations a second by worker processes"
JOBS: Final = 8000


def run(setting: Setting) -> None:
    """Let one and several processes take turns."""
    counts = sorted({1, 2, os.cpu_count() or 1})
    for _ in range(setting.sizes.rounds):
        for count in counts:
            label = "1 process" if count == 1 else f"{count} processes"
            setting.book.add(NAME, label, "/s", _rate(setting, count))
    one = setting.book.find(NAME, "1 process")
    most = setting.book.find(NAME, f"{counts[-1]} processes")
    if one is not None and most is not None:
        row = setting.book.add(NAME, "speed-up", "x", most.median / one.median)
        row.note = "server and client share the cores"


def _rate(setting: Setting, processes: int) -> float:
    setting.erase()
    jobs = setting.sizes.of(JOBS)
    worker = start_worker(setting.place, INVOKEQ, places=500, processes=processes)
    client = start_client(setting.place, INVOKEQ)
    try:
        with setting.place.connect() as redis:
            await_leases(redis, processes, worker)
            redis.set(keys.SUSPENDED, 1)
            client.ask("fill", jobs=jobs)

            def finished() -> int:
                return int(redis.zcard(keys.registry("finished", LANE)))

            redis.delete(keys.SUSPENDED)
            began = await_count(finished, int(jobs * WARM_SHARE), SECONDS)
            first = finished()
            return (jobs - first) / (await_count(finished, jobs, SECONDS) - began)
    finally:
        client.stop()
        worker.stop()
