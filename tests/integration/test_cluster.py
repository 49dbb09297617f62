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
from tests.clusters import running_cluster

STREAMS = 20
ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(150)
def test_everything_works_on_a_cluster(tmp_path: Path) -> None:
    with running_cluster() as cluster:
        nodes = orjson.dumps([[m.url for m in cluster.masters], cluster.replica_urls]).decode()
        program = [sys.executable, "-m", "tests.integration.cluster_program"]
        env = {**os.environ, "RQ_KEY_PREFIX": "{rq}"}
        done = subprocess.run(
            [*program, cluster.url, str(tmp_path), nodes],
            env=env,
            cwd=ROOT,
            capture_output=True,
            timeout=140,
            check=False,
        )
        logs = "".join(path.read_text() for path in tmp_path.glob("*.log"))
        assert done.returncode == 0, done.stderr.decode() + logs
        found = orjson.loads(done.stdout)
    assert found == {
        "sync": [51] * STREAMS,
        "async": [51] * STREAMS,
        "large": 2_000_000,
        "vectors": 2,
        "cancelled": "running, caller",
        "attached": 51,
        "asked": 51,
        "moved": [201] * STREAMS,
        "lost": 1,
        "after": 51,
    }


def test_a_cluster_without_a_common_slot_for_rq_is_refused() -> None:
    with pytest.raises(InvalidConfigurationError, match="RQ_KEY_PREFIX"):
        Session("acme", redis="redis+cluster://127.0.0.1:1")
