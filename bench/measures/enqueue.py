"""Enqueueing from one client while no worker takes anything."""

from typing import Final

from bench.catalog import INVOKEQ, PEERS
from bench.measures.noop import held
from bench.processes import ChildError
from bench.running import Running, running
from bench.setting import Setting

NAME: Final = "enqueue"
TITLE: Final = "Enqueued by one client a second"
ALONE: Final = "one by one"
BULK: Final = "in bulk"


def run(setting: Setting) -> None:
    """Let ours and rq's take turns."""
    rq = next(peer for peer in PEERS if peer.name == "rq SimpleWorker")
    subjects = [subject for subject in (INVOKEQ, rq) if subject in setting.subjects]
    for _ in range(setting.sizes.rounds):
        for subject in subjects:
            setting.erase()
            with running(setting.place, subject, places=100) as up, held(up):
                _measure(setting, up)
                up.worker.kill()  # it is not to work off what was enqueued
    setting.book.goal(NAME, ALONE, ">=", 4000)
    setting.book.goal(NAME, BULK, ">=", 12_000)


def _measure(setting: Setting, up: Running) -> None:
    jobs, book = setting.sizes.enqueues, setting.book
    book.add(NAME, ALONE, "/s", jobs / up.ask("enqueue", jobs=jobs), of=up.name)
    if up.subject is not INVOKEQ:
        book.add(NAME, BULK, "/s", jobs / up.ask("fill", jobs=jobs), of=up.name)
        return
    try:
        book.add(NAME, BULK, "/s", jobs / up.ask("submit_many", jobs=jobs))
    except ChildError as error:
        book.dash(NAME, BULK, "/s", str(error))
