"""Inject every fault and print a table; exit with 1 if a promise was broken."""

import argparse
import asyncio
import sys
from collections.abc import Sequence

from tests.chaos.audit import FaultReport
from tests.chaos.crash import report_crashes
from tests.chaos.faults import FAULTS
from tests.chaos.run import Size, run_fault

COLUMNS = (
    *("fault", "times", "invocations", "events", "lost", "doubled", "out of order", "no end"),
    *("typed errors", "slowest recovery"),
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--times", type=int, default=2, help="injections of each fault")
    parser.add_argument("--streams", type=int, default=100)
    parser.add_argument("--crashes", type=int, default=40, help="kills of the crash test; 0: none")
    parser.add_argument("--fault", default="", help="only faults whose name contains this")
    arguments = parser.parse_args()
    size = Size(arguments.streams, chunks=150, rate=25, times=arguments.times)
    problems: list[str] = []
    _print(COLUMNS)
    _print(["---"] * len(COLUMNS))
    for fault in FAULTS:
        if arguments.fault in fault.name:
            report = asyncio.run(run_fault(fault, size))
            _show(report)
            problems += report.problems(fault.allowed)
    if arguments.crashes and arguments.fault in "crashes":
        report, found = report_crashes(arguments.crashes)
        _show(report)
        problems += found
    sys.stderr.writelines(f"{problem}\n" for problem in problems)
    return 1 if problems else 0


def _show(report: FaultReport) -> None:
    errors = ", ".join(f"{name} {n}" for name, n in sorted(report.errors.items())) or "none"
    counts = (
        report.times,
        len(report.audits),
        report.events,
        report.lost,
        report.doubled,
        report.disordered,
    )
    _print(
        [
            report.fault,
            *map(str, counts),
            str(report.unfinished),
            errors,
            f"{report.recovery:.1f} s",
        ]
    )


def _print(cells: Sequence[str]) -> None:
    sys.stdout.write(f"| {' | '.join(cells)} |\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
