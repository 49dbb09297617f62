"""Soak test: is a worker as light and fast after 200,000 invocations as at its start?

`python -m bench.soak --jobs 200000`. Answers expire after ten seconds, so that at the end only
keys that are permanent by design may be left.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from bench.measures.noop import WARM_SHARE, held
from bench.reporting.machine import host_class, load, machine
from bench.reporting.report import number
from bench.subjects.catalog import INVOKEQ
from bench.subjects.processes import own_rss_kb
from bench.subjects.running import LANE, Running, Workspace, await_count, running
from invokeq.protocol.redis import keys
from invokeq_worker.process.embedded_server import EmbeddedValkey

BLOCK: Final = 10_000
RESULT_TTL: Final = 10
SECONDS: Final = 120.0
WIDTH: Final = 100
MOST_GROWTH: Final = 1.05
"""The bound on the worker's memory: the last block relative to the second block."""

LEAST_SPEED: Final = 0.9
"""The bound on the rate: the median of the last blocks relative to the first blocks."""

EDGE: Final = 3
"""The number of first and last blocks; the very first block, without expiry, does not count."""

EXPIRY_SECONDS: Final = 60.0
"""Longer than any key lives after the last call; the longest is a reader's lease of 30 s."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The figures after a block of invocations; memory in MB."""

    done: int
    rate: float
    worker_mb: float
    client_mb: float
    server_mb: float
    keys: int
    registered: int


def main() -> int:
    """Run the soak test, print and write the figures; return 0 if every promise held."""
    arguments = _arguments()
    facts: dict[str, Any] = {**machine(), "load_before": load()}
    with tempfile.TemporaryDirectory(prefix="invokeq-soak-") as folder, EmbeddedValkey.start() as s:
        workspace = Workspace(s.url, Path(folder), limits={"result_ttl": RESULT_TTL})
        with running(workspace, INVOKEQ, places=500) as up:
            samples = list(_samples(up, arguments.jobs))
            left = _left_over(up)
    facts["load_after"] = load()
    verdict = judge(samples, left)
    _show(samples, verdict)
    whole = {
        "machine": facts,
        "samples": [asdict(sample) for sample in samples],
        "left": left,
        "verdict": verdict,
    }
    date = datetime.now(UTC).date()
    results = Path(__file__).parent / "results"
    path: Path = arguments.out or results / f"{date}-{host_class()}-soak.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(whole, indent=1) + "\n")
    return 0 if all(verdict.values()) else 1


def judge(samples: list[Sample], left: dict[str, int]) -> dict[str, bool]:
    """Return whether each promise held."""
    settled = samples[1:] or samples
    first = statistics.median(sample.rate for sample in settled[:EDGE])
    last = statistics.median(sample.rate for sample in settled[-EDGE:])
    return {
        "memory is flat": samples[-1].worker_mb <= settled[0].worker_mb * MOST_GROWTH,
        "speed is kept": last >= first * LEAST_SPEED,
        "no key is left over": not left,
    }


def _samples(up: Running, jobs: int) -> Iterator[Sample]:
    name = up.redis.zrange(keys.LEASES, 0, 0)[0].decode()

    def done() -> int:
        return int(up.redis.hget(keys.worker(name), "successful_job_count") or 0)

    start = done()
    for at in range(0, jobs, BLOCK):
        size = min(BLOCK, jobs - at)
        with held(up):
            up.ask("fill", jobs=size, within=SECONDS)
        began = await_count(done, start + at + int(size * WARM_SHARE), SECONDS)
        first = done() - start - at
        ended = await_count(done, start + at + size, SECONDS)
        sample = _sample(up, at + size, (size - first) / (ended - began))
        print(f"{sample.done}: {sample.rate:.0f}/s, {sample.worker_mb:.1f} MB", file=sys.stderr)
        yield sample


def _sample(up: Running, done: int, rate: float) -> Sample:
    return Sample(
        done=done,
        rate=rate,
        worker_mb=own_rss_kb(up.worker.pid) / 1024,
        client_mb=own_rss_kb(up.client.pid) / 1024,
        server_mb=int(up.redis.info("memory")["used_memory"]) / 2**20,
        keys=int(up.redis.dbsize()),
        registered=int(up.redis.zcard(keys.registry("finished", LANE))),
    )


def _left_over(up: Running) -> dict[str, int]:
    """Wait until every key should have expired; return counts of the keys that are left.

    One more call prunes the registries, as each call of a worker does.
    """
    time.sleep(RESULT_TTL + 2)
    up.ask("latency", times=1)
    until = time.monotonic() + EXPIRY_SECONDS
    while (left := _out_of_place(up)) and time.monotonic() < until:
        time.sleep(1)
    return left


def _out_of_place(up: Running) -> dict[str, int]:
    """Count keys of invocations, keys without a TTL that are not permanent by design, and registry
    entries beyond the last call."""
    left: Counter[str] = Counter()
    for key in up.redis.scan_iter(count=1000):
        name = key.decode()
        permanent = any(fnmatchcase(name, pattern) for pattern in keys.PERMANENT)
        if name.startswith(("invokeq:{", keys.job(""))):
            left["keys of invocations"] += 1
        elif not permanent and up.redis.ttl(key) == -1:
            left[name] += 1
    for kind in ("wip", "finished", "failed", "canceled"):
        entries = int(up.redis.zcard(keys.registry(kind, LANE)))
        if entries > (kind == "finished"):
            left[f"entries of {kind}"] += entries
    return dict(left)


def _show(samples: list[Sample], verdict: dict[str, bool]) -> None:
    table = Table(title="Soak: after each block of invocations")
    columns = ("done", "invocations/s", "worker MB", "client MB", "server MB", "keys", "registered")
    for column in columns:
        table.add_column(column, justify="right")
    for sample in samples:
        table.add_row(*(number(value) for value in asdict(sample).values()))
    console = Console(width=WIDTH)
    console.print(table)
    for promise, kept in verdict.items():
        console.print(f"{promise}: {'yes' if kept else 'NO'}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--jobs", type=int, default=200_000)
    parser.add_argument("--out", type=Path, help="where the JSON goes")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
