"""`python -m tests.chaos`: every fault, a table, and exit code 1 if a promise was broken."""

import argparse
import asyncio
import sys
from collections.abc import Sequence

from tests.chaos.account import Row
from tests.chaos.crash import crash_row
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
            row = asyncio.run(run_fault(fault, size))
            _show(row)
            problems += row.problems(fault.allowed)
    if arguments.crashes and arguments.fault in "crashes":
        row, found = crash_row(arguments.crashes)
        _show(row)
        problems += found
    sys.stderr.writelines(f"{problem}\n" for problem in problems)
    return 1 if problems else 0


def _show(row: Row) -> None:
    errors = ", ".join(f"{name} {n}" for name, n in sorted(row.errors.items())) or "none"
    counts = (row.times, len(row.stories), row.events, row.lost, row.doubled, row.disordered)
    _print([row.fault, *map(str, counts), str(row.unended), errors, f"{row.recovery:.1f} s"])


def _print(cells: Sequence[str]) -> None:
    sys.stdout.write(f"| {' | '.join(cells)} |\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
