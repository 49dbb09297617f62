"""The bench runs without peers, and judges goals by the measured values."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.peers.spread import percentile
from bench.reporting.result_table import ResultTable
from bench.soak import Sample, judge
from tests.support.paths import ROOT


def sample(done: int, rate: float, memory: float) -> Sample:
    return Sample(done, rate, memory, client_mb=1, server_mb=1, keys=1, registered=1)


@pytest.mark.slow
def test_a_quick_run_writes_figures_and_machine(tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    command = [sys.executable, "-m", "bench", "--quick", "--subject", "invokeq"]
    ran = subprocess.run(
        [*command, "--measure", "enqueue", "--measure", "memory", "--out", str(out)],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    written = json.loads(out.read_text())
    taken = {(row["measure"], row["figure"]): row for row in written["rows"]}
    assert taken["enqueue", "one by one"]["median"] > 0
    assert taken["memory", "idle worker"]["goal"] == "<= 60"
    assert written["machine"]["cores"] >= 1
    assert written["machine"]["server"].startswith("Valkey ")
    assert "idle worker" in ran.stdout


def test_a_goal_is_met_by_the_median() -> None:
    table = ResultTable()
    table.add("m", "time", "ms", 1.0, 2.0, 9.0)
    table.goal("m", "time", "<=", 2)
    table.add("m", "rate", "/s", 1.0, 2.0, 9.0)
    table.goal("m", "rate", ">=", 2.5)
    assert [row.met for row in table.rows()] == [True, False]


def test_the_best_peer_is_none_of_ours_and_no_dash() -> None:
    table = ResultTable()
    table.add("m", "time", "ms", 1.0)
    table.add("m", "time", "ms", 3.0, of="slow")
    table.add("m", "time", "ms", 2.0, of="fast")
    table.dash("m", "time", "ms", "cannot", of="unable")
    best = table.best_peer("m", "time", most=False)
    assert best is not None
    assert best.subject == "fast"


def test_a_percentile_is_one_of_the_values() -> None:
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile([3.0, 1.0, 2.0], 0.99) == 3.0


@pytest.mark.parametrize(
    ("rate", "memory", "left", "broken"),
    [
        (1000, 70, {}, []),
        (800, 70, {}, ["speed is kept"]),
        (1000, 80, {}, ["memory is flat"]),
        (1000, 70, {"key": 1}, ["no key is left over"]),
    ],
)
def test_a_soak_sees_a_worker_age(
    rate: float, memory: float, left: dict[str, int], broken: list[str]
) -> None:
    young = [sample(10, 2000, 60), *(sample(10 * n, 1000, 70) for n in (2, 3, 4))]
    old = [sample(10 * n, rate, memory) for n in (5, 6, 7)]
    verdict = judge([*young, *old], left)
    assert [promise for promise, kept in verdict.items() if not kept] == broken
