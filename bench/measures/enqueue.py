"""The rate of enqueueing from one client while no worker claims jobs."""

from typing import Final

from bench.measures.noop import held
from bench.setting import Setting
from bench.subjects.catalog import INVOKEQ, PEERS
from bench.subjects.processes import ChildError
from bench.subjects.running import Running, running

NAME: Final = "enqueue"
TITLE: Final = "Enqueued by one client a second"
ALONE: Final = "one by one"
BULK: Final = "in bulk"


def run(setting: Setting) -> None:
    """Measure invokeq and rq in turn."""
    rq = next(peer for peer in PEERS if peer.name == "rq SimpleWorker")
    subjects = [subject for subject in (INVOKEQ, rq) if subject in setting.subjects]
    for _ in range(setting.sizes.rounds):
        for subject in subjects:
            setting.erase()
            with running(setting.workspace, subject, places=100) as up, held(up):
                _measure(setting, up)
                up.worker.kill()  # no job needs to run
    setting.table.goal(NAME, ALONE, ">=", 4000)
    setting.table.goal(NAME, BULK, ">=", 12_000)


def _measure(setting: Setting, up: Running) -> None:
    jobs, table = setting.sizes.enqueues, setting.table
    table.add(NAME, ALONE, "/s", jobs / up.ask("enqueue", jobs=jobs), of=up.name)
    if up.subject is not INVOKEQ:
        table.add(NAME, BULK, "/s", jobs / up.ask("fill", jobs=jobs), of=up.name)
        return
    try:
        table.add(NAME, BULK, "/s", jobs / up.ask("submit_many", jobs=jobs))
    except ChildError as error:
        table.dash(NAME, BULK, "/s", str(error))
