"""Each fault once, with a small load; `make chaos` runs the same at full size.

Checked that the tests can fail: without the resend of the unacknowledged batch (streams/writer.py),
events are lost when the server dies; without the reaper, streams of a killed worker have no end.
"""

import asyncio
from dataclasses import replace

import pytest

from tests.chaos.crash import report_crashes
from tests.chaos.faults import FAULTS, Fault, freeze_worker, freeze_worker_shortly
from tests.chaos.run import Size, run_fault

SHORT = [
    replace(fault, name="a worker stopped (SIGSTOP)", inject=freeze_worker_shortly)
    if fault.inject is freeze_worker
    else fault
    for fault in FAULTS
]
SMALL = Size(streams=12, chunks=60, rate=20, times=1)


@pytest.mark.parametrize("fault", SHORT, ids=lambda fault: fault.name)
@pytest.mark.timeout(240)
def test_a_fault(fault: Fault) -> None:
    report = asyncio.run(run_fault(fault, SMALL))
    assert report.problems(fault.allowed) == []
    assert report.events > 0


@pytest.mark.timeout(240)
def test_crashes() -> None:
    report, problems = report_crashes(4)
    assert problems == []
    assert report.events > 0
