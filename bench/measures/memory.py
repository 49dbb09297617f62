"""What a worker weighs when it is idle, and what each stream that it holds adds."""

from typing import Any, Final

from bench.catalog import INVOKEQ
from bench.processes import own_rss_kb
from bench.running import LANE, await_count, running
from bench.setting import Setting
from invokeq.protocol.redis import keys

NAME: Final = "memory"
TITLE: Final = "Memory of one worker process"
SECONDS: Final = 30.0


def run(setting: Setting) -> None:
    """Hold silent streams that have said one chunk each."""
    held, book = setting.sizes.held, setting.book
    for _ in range(setting.sizes.rounds):
        setting.erase()
        with running(setting.place, INVOKEQ, places=held) as ours:
            idle = own_rss_kb(ours.worker.pid)
            ours.ask("hold", streams=held)
            wip = keys.registry("wip", LANE)

            def holding(client: Any = ours.redis, key: str = wip) -> int:
                return int(client.zcard(key))

            await_count(holding, held, SECONDS)
            full = own_rss_kb(ours.worker.pid)
            ours.worker.kill()
        book.add(NAME, "idle worker", "MB", idle / 1024)
        book.add(NAME, "each held stream", "KB", (full - idle) / held)
    book.goal(NAME, "idle worker", "<=", 60)
    book.goal(NAME, "each held stream", "<=", 20)
