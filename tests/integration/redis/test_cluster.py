"""Client and worker on a Redis Cluster of three masters, each with a replica.

Seen to fail while ASK was not obeyed.
"""

import os
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from invokeq import Session
from invokeq.errors import InvalidConfigurationError
from invokeq.protocol.redis import address
from tests.support.paths import ROOT
from tests.support.servers.clusters import running_cluster

STREAMS = 20
OF_ONE_SERVER = [
    "calls/test_submit_many.py::test_they_stand_in_their_lane_in_order_and_cost_a_round_trip_a_group",
    "calls/test_submit_many.py::test_calls_of_all_kinds_go_together",
    "calls/test_submit_many.py::test_of_calls_that_are_refused_nothing_is_left",
    "calls/test_submit_many.py::test_the_same_on_asyncio",
    "redis/test_acl.py::test_a_plugin_can_do_all_it_needs",
    "worker/test_rq_tools.py::test_info_agrees_with_what_ran",
    "worker/test_rq_tools.py::test_stop_job_command",
]


@pytest.mark.timeout(300)
def test_everything_works_on_a_cluster(tmp_path: Path) -> None:
    with running_cluster() as cluster:
        nodes = orjson.dumps([[m.url for m in cluster.masters], cluster.replica_urls]).decode()
        program = [sys.executable, "-m", "tests.integration.programs.cluster_program"]
        env = {**os.environ, "RQ_KEY_PREFIX": "{rq}"}
        done = subprocess.run(
            [*program, cluster.url, str(tmp_path), nodes],
            env=env,
            cwd=ROOT,
            capture_output=True,
            timeout=280,
            check=False,
        )
        logs = "".join(path.read_text() for path in tmp_path.glob("*.log"))
        assert done.returncode == 0, done.stderr.decode() + logs
        found = orjson.loads(done.stdout)
    # A lease is in any slot, jobs are in one: not a round trip each, which were over 300.
    assert found["many"].pop("exchanges") <= 4
    assert found == {
        "sync": [51] * STREAMS,
        "async": [51] * STREAMS,
        "large": 2_000_000,
        "vectors": 2,
        "many": {"right": True},
        "cancelled": "running, caller",
        "attached": 51,
        "asked": 51,
        "moved": [201] * STREAMS,
        "lost": 1,
        "after": 51,
    }


@pytest.mark.timeout(300)
def test_what_is_tested_on_one_server_works_on_a_cluster(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """A few tests of others, by `--server cluster`; `make test-cluster` runs them all."""
    if "cluster" in str(request.config.getoption("--server")):
        pytest.skip("a part of this very run")
    plain = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    options = ["--server", "cluster", "--basetemp", str(tmp_path / "inner"), "-v"]
    options += ["-p", "no:cacheprovider", "-p", "no:xdist"]
    tests = [f"tests/integration/{name}" for name in OF_ONE_SERVER]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *tests],
        env=plain,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("[cluster] PASSED") == len(tests)


def test_a_cluster_without_a_common_slot_for_rq_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(address, "RQ_KEY_PREFIX", "rq")
    with pytest.raises(InvalidConfigurationError, match="RQ_KEY_PREFIX"):
        Session("acme", redis="redis+cluster://127.0.0.1:1")
