"""The memory of an idle worker, and of each open stream."""

from typing import Any, Final

from bench.setting import Setting
from bench.subjects.catalog import INVOKEQ
from bench.subjects.processes import own_rss_kb
from bench.subjects.running import LANE, await_count, running
from invokeq.protocol.redis import keys

NAME: Final = "memory"
TITLE: Final = "Memory of one worker process"
SECONDS: Final = 30.0


def run(setting: Setting) -> None:
    """Measure a worker before and after it holds silent streams of one chunk each."""
    held, table = setting.sizes.held, setting.table
    for _ in range(setting.sizes.rounds):
        setting.erase()
        with running(setting.workspace, INVOKEQ, places=held) as ours:
            idle = own_rss_kb(ours.worker.pid)
            ours.ask("hold", streams=held)
            wip = keys.registry("wip", LANE)

            def holding(client: Any = ours.redis, key: str = wip) -> int:
                return int(client.zcard(key))

            await_count(holding, held, SECONDS)
            full = own_rss_kb(ours.worker.pid)
            ours.worker.kill()
        table.add(NAME, "idle worker", "MB", idle / 1024)
        table.add(NAME, "each held stream", "KB", (full - idle) / held)
    table.goal(NAME, "idle worker", "<=", 60)
    table.goal(NAME, "each held stream", "<=", 20)
