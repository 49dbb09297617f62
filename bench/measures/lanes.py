"""Fairness between plugins, and the cost of a claim with many lanes."""

from typing import Any, Final

from bench.measures.noop import held
from bench.setting import Setting
from bench.subjects.catalog import INVOKEQ
from bench.subjects.running import Running, await_count, running
from invokeq.protocol.redis import keys

NAME: Final = "lanes"
TITLE: Final = "Ten jobs of one plugin beside a flood of another's; many lanes"
TEN: Final = 10
PLACES: Final = 100
SECONDS: Final = 0.2
"""The seconds of each job, so that the flood occupies every slot of the worker."""

REPEATS: Final = 5
JOBS: Final = 2000
WAIT: Final = 60.0


def run(setting: Setting) -> None:
    """Time ten jobs alone and in a flood; then empty one lane, and many."""
    for _ in range(setting.sizes.rounds):
        _flood(setting)
        _many(setting)
    table = setting.table
    alone, beside = table.find(NAME, "ten alone"), table.find(NAME, "ten beside the flood")
    if alone is not None and beside is not None:
        table.add(NAME, "beside / alone", "x", beside.median / alone.median)
        table.goal(NAME, "beside / alone", "<=", 2)
    one, many = (
        table.find(NAME, "server time a job, 1 lane"),
        table.find(NAME, _many_figure(setting)),
    )
    if one is not None and many is not None:
        table.add(NAME, "server time, many lanes / one", "x", many.median / one.median)
        table.goal(NAME, "server time, many lanes / one", "<=", 1.1)


def _flood(setting: Setting) -> None:
    setting.erase()
    with running(setting.workspace, INVOKEQ, places=PLACES) as ours:
        for _ in range(REPEATS):
            setting.table.add(NAME, "ten alone", "ms", _ten(ours))
        ours.ask("enqueue", jobs=setting.sizes.flood, plugin="flood", seconds=SECONDS)
        for _ in range(REPEATS):
            waiting = int(ours.redis.llen(keys.lane_list("llm:flood")))
            if waiting > TEN * PLACES or setting.sizes.flood < JOBS:
                setting.table.add(NAME, "ten beside the flood", "ms", _ten(ours))
        ours.worker.kill()


def _ten(ours: Running) -> float:
    return 1000 * ours.ask("together", jobs=TEN, plugin="bench", seconds=SECONDS)


def _many(setting: Setting) -> None:
    lanes = setting.sizes.lanes
    jobs = max(1, setting.sizes.of(JOBS) // lanes)
    for count, each, figure in (
        (1, jobs * lanes, "server time a job, 1 lane"),
        (lanes, jobs, _many_figure(setting)),
    ):
        setting.erase()
        with running(setting.workspace, INVOKEQ, places=500) as ours:
            with held(ours):
                ours.ask("lane_of_its_own", lanes=count, jobs=each, within=WAIT)
                ours.redis.config_resetstat()
                done = _Done(ours.redis)
            await_count(done, count * each, WAIT)
            micros = _script_micros(ours.redis)
            setting.table.add(NAME, figure, "us", micros / (count * each))


def _many_figure(setting: Setting) -> str:
    return f"server time a job, {setting.sizes.lanes} lanes"


class _Done:
    """A counter of jobs finished since its creation: one command for any number of lanes."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._worker = keys.worker(client.zrange(keys.LEASES, 0, 0)[0].decode())
        self._before = self._count()

    def __call__(self) -> int:
        return self._count() - self._before

    def _count(self) -> int:
        return int(self._client.hget(self._worker, "successful_job_count") or 0)


def _script_micros(client: Any) -> float:
    """Return the server's time in scripts: claim and finalize."""
    stats = client.info("commandstats")
    names = ("cmdstat_evalsha", "cmdstat_eval", "cmdstat_fcall")
    return sum(float(stats[name]["usec"]) for name in names if name in stats)
