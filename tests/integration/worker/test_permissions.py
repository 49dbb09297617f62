"""Permissions on the worker's side: what a plugin says of itself does not count."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from rq import Queue

from invokeq import Session
from invokeq.errors import PermissionDeniedError
from invokeq.protocol.codec import OrjsonSerializer
from invokeq.protocol.requests import new_request_id
from tests.integration.conftest import user
from tests.integration.worker.test_hostile_jobs import plant, why_failed, with_envelope
from tests.support.processes.worker import WorkerProcess, running_worker, write_config
from tests.support.waiting import eventually

ECHO: dict[str, Any] = {"provider": "scripted", "model": "echo"}

TABLES = """
[permissions]
unknown = "deny"
[plugins.acme]
manifest = "acme/manifest.yaml"
[plugins.narrow]
models = ["scripted/stream"]
[plugins.tenanted]
tenants = ["t1"]
[plugins.gateway]
trusted = true
"""

MANIFEST = """
name: acme
resource:
  permission:
    model: {enabled: true, text_embedding: true}
"""


@pytest.fixture
def strict(redis_url: str, tmp_path: Path) -> Iterator[WorkerProcess]:
    """A worker that serves the plugins of TABLES, and nobody else."""
    (tmp_path / "acme").mkdir()
    (tmp_path / "acme" / "manifest.yaml").write_text(MANIFEST)
    with running_worker(redis_url, tmp_path, more=TABLES) as process:
        yield process


def refusal(url: str, plugin: str, tenant: str | None = None, **config: Any) -> str | None:
    """Ask a model as a plugin, and give what it is told."""
    with Session(plugin, tenant, redis=url) as session:
        try:
            session.model.llm.invoke({**ECHO, **config}, user("hi"), stream=False)
        except PermissionDeniedError as error:
            return f"{error.plugin}: {error}"
    return None


def test_each_plugin_is_held_to_its_own_table(redis_url: str, strict: WorkerProcess) -> None:
    """Answers come for all of them once `Permissions.check` is not called."""
    assert refusal(redis_url, "acme") == (
        "acme: permission denied, you need to enable llm access in plugin manifest"
    )
    assert refusal(redis_url, "narrow") == (
        "narrow: Plugin 'narrow' may not call scripted/echo; the operator allows it scripted/stream"
    )
    assert refusal(redis_url, "narrow", model="stream") is None
    assert refusal(redis_url, "tenanted", "t1") is None
    assert refusal(redis_url, "tenanted", "t2") == (
        "tenanted: Plugin 'tenanted' may not speak for tenant 't2'"
    )
    assert refusal(redis_url, "stranger") == (
        "stranger: Plugin 'stranger' may not call models: the operator does not know it"
    )
    assert refusal(redis_url, "gateway") is None
    assert not [line for line in strict.log.read_text().splitlines() if "Traceback" in line]


@pytest.mark.parametrize(
    ("lane", "changes", "reason"),
    [
        ("narrow", {"plugin_id": "gateway"}, "may not use the lane of 'narrow'"),
        ("narrow", {"plugin_id": "narrow", "tenant_id": "t1"}, "may not call scripted/echo"),
        ("tenanted", {"plugin_id": "tenanted", "tenant_id": "t2"}, "for tenant 't2'"),
        ("gateway", {"plugin_id": "narrow"}, "Plugin 'narrow' may not call scripted/echo"),
    ],
)
def test_an_envelope_cannot_widen_the_rights_of_its_lane(
    redis_client: redis.Redis,
    strict: WorkerProcess,
    lane: str,
    changes: dict[str, Any],
    reason: str,
) -> None:
    rid = new_request_id()
    plant(redis_client, with_envelope(**changes)(rid), rid, lane=f"llm:{lane}")
    queue = Queue(f"llm:{lane}", connection=redis_client, serializer=OrjsonSerializer)
    eventually("it is failed", lambda: rid in queue.failed_job_registry)
    assert reason in why_failed(redis_client, rid)
    assert strict.vendor_events(rid) == []


def test_config_check_shows_the_tables_and_names_a_manifest_that_is_wrong(
    redis_url: str, tmp_path: Path
) -> None:
    tables = {"scripted": {"type": "scripted"}}
    path = write_config(tmp_path / "c.toml", redis_url, providers=tables, more=TABLES)
    command = [sys.executable, "-m", "invokeq.cli", "config", "check", "--config", str(path)]
    wide = {**os.environ, "COLUMNS": "200"}
    missing = subprocess.run(command, capture_output=True, text=True, check=False)
    assert missing.returncode == 1
    where = f"plugins.acme.manifest: {tmp_path}/acme/manifest.yaml"
    assert missing.stderr == f"error: {path}: {where}: file: no such file or directory\n"
    (tmp_path / "acme").mkdir()
    (tmp_path / "acme" / "manifest.yaml").write_text(MANIFEST)
    shown = subprocess.run(command, capture_output=True, text=True, check=False, env=wide)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "Plugins; others: deny" in shown.stdout
    assert "acme/manifest.yaml" in shown.stdout
    assert "scripted/stream" in shown.stdout
