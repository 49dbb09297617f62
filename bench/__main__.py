"""Runs all measures and prints a table; the raw figures go to bench/results as JSON."""

import argparse
import json
import os
import platform
import statistics
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.measures import jobs_a_second, latency_ms, percentile, ping_ms
from bench.subjects import SUBJECTS, workplace
from invokeq_worker.embedded import EmbeddedValkey

ROUNDS = 3
CALLS = {"invokeq": 300, "rq SimpleWorker": 150, "rq Worker": 40}
JOBS = {"invokeq": 3000, "rq SimpleWorker": 300, "rq Worker": 60}


def main() -> int:
    arguments = _arguments()
    figures: dict[str, Any] = {"machine": _machine(), "ping_ms": [], "subjects": {}}
    with workplace() as directory:
        for round_number in range(arguments.rounds):
            for subject_class in SUBJECTS:
                with EmbeddedValkey.start() as server:
                    figures["ping_ms"] += ping_ms(server.url)
                    subject = subject_class(server.url, directory)
                    with subject.running():
                        latency_ms(subject, 20)
                        taken = latency_ms(subject, CALLS[subject.name])
                        rate = jobs_a_second(subject, JOBS[subject.name])
                found = figures["subjects"].setdefault(subject.name, {"ms": [], "jobs_s": []})
                found["ms"] += taken
                found["jobs_s"].append(rate)
                print(f"round {round_number + 1}: {subject.name}", file=sys.stderr)
    _show(figures)
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(figures))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--out", type=Path, help="where the raw figures go, as JSON")
    return parser.parse_args()


def _machine() -> dict[str, Any]:
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "system": platform.platform(),
        "load": os.getloadavg(),
    }


def _show(figures: dict[str, Any]) -> None:
    ping = statistics.median(figures["ping_ms"])
    ours = figures["subjects"]["invokeq"]
    table = Table(title=f"median PING {ping:.3f} ms; load {figures['machine']['load'][0]:.1f}")
    columns = ("", "first chunk p50", "p99", "in PINGs", "jobs/s", "invokeq is")
    for column in columns:
        table.add_column(column, justify="right")
    for name, found in figures["subjects"].items():
        p50, rate = percentile(found["ms"], 0.5), statistics.median(found["jobs_s"])
        times = statistics.median(ours["jobs_s"]) / rate
        cells = (f"{p50:.2f} ms", f"{percentile(found['ms'], 0.99):.2f} ms", f"{p50 / ping:.1f}")
        table.add_row(name, *cells, f"{rate:.0f}", f"{times:.1f} x")
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
