"""No-ops a second with one worker process, two, and one for each core."""

import os
from typing import Final

from bench.measures.noop import SECONDS, WARM_SHARE
from bench.setting import Setting
from bench.subjects.catalog import INVOKEQ
from bench.subjects.running import LANE, await_count, await_leases, start_client, start_worker
from invokeq.protocol.redis import keys

NAME: Final = "processes"
TITLE: Final = "No-op invocations a second by worker processes"
JOBS: Final = 8000


def run(setting: Setting) -> None:
    """Measure one and several processes in turn."""
    counts = sorted({1, 2, os.cpu_count() or 1})
    for _ in range(setting.sizes.rounds):
        for count in counts:
            label = "1 process" if count == 1 else f"{count} processes"
            setting.table.add(NAME, label, "/s", _rate(setting, count))
    one = setting.table.find(NAME, "1 process")
    most = setting.table.find(NAME, f"{counts[-1]} processes")
    if one is not None and most is not None:
        row = setting.table.add(NAME, "speed-up", "x", most.median / one.median)
        row.note = "server and client share the cores"


def _rate(setting: Setting, processes: int) -> float:
    setting.erase()
    jobs = setting.sizes.of(JOBS)
    worker = start_worker(setting.workspace, INVOKEQ, places=500, processes=processes)
    client = start_client(setting.workspace, INVOKEQ)
    try:
        with setting.workspace.connect() as redis:
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
