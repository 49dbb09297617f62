"""A kind of call of another package works at every place without a change to invokeq."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.paths import ROOT
from tests.support.processes.gateway import INNER_KEY, TRANSACTION, envelope, running_gateway
from tests.support.processes.worker import WorkerProcess, running_worker

INSTALLED = {"PYTHONPATH": os.pathsep.join([str(ROOT / "tests/kinds_example"), str(ROOT)])}
MANIFEST = """\
resource:
  permission:
    model: {{enabled: true, llm: true, translation: {allowed}}}
"""


@pytest.fixture
def translator(redis_url: str, tmp_path: Path) -> Iterator[WorkerProcess]:
    """A worker that has the package and its provider."""
    providers = {"dictionary": {"type": "dictionary"}, "scripted": {"type": "scripted"}}
    with running_worker(
        redis_url, tmp_path, providers=providers, env=INSTALLED, trusted=["gateway"]
    ) as worker:
        yield worker


def run_program(url: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.kinds_example.program", url]
    done = subprocess.run(
        command, env={**os.environ, **INSTALLED}, cwd=ROOT, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


@pytest.mark.usefixtures("translator")
def test_sessions_and_fakes_offer_the_kind(redis_url: str) -> None:
    found = run_program(redis_url)
    assert found["sync"] == "guten Tag"  # although the vendor was busy at first
    assert found["many"] == ["bon jour", "guten Tag"]
    code, text = found["refused"]
    assert code == "rejected_by_provider"
    assert "no language xx" in text
    code, text = found["wrong provider"]
    assert (code, text) == ("invalid_request", "provider: scripted serves no calls of this kind")
    assert found["async"] == "bon jour"
    assert found["fake"] == ["bonne journée", ["fr"]]
    assert found["async fake"] == "schönen Tag"


REQUEST = {"provider": "dictionary", "model": "pocket", "text": "good day", "target": "de"}


@pytest.mark.usefixtures("translator")
def test_the_gateway_serves_the_kind(redis_url: str, tmp_path: Path) -> None:
    with running_gateway(redis_url, tmp_path, env=INSTALLED) as gateway:
        sent = {**REQUEST, "tenant_id": "tenant-1", "user_id": "user-1"}
        headers = {"X-Inner-Api-Key": INNER_KEY}
        status, body = gateway.ask("POST", "/inner/api/invoke/translation", sent, headers)
        assert status == 200, body
        assert json.loads(body) == {"data": {"text": "guten Tag"}, "error": ""}
        session_id = gateway.open_session()
        status, body = gateway.ask(
            "POST",
            TRANSACTION,
            envelope(session_id, "translation", REQUEST),
            {"Dify-Plugin-Session-ID": session_id},
        )
        assert status == 200, body
        assert b"guten Tag" in body


@pytest.mark.parametrize("allowed", [True, False])
def test_a_manifest_opens_the_kind(redis_url: str, tmp_path: Path, allowed: bool) -> None:
    (tmp_path / "manifest.yaml").write_text(MANIFEST.format(allowed=str(allowed).lower()))
    providers = {"dictionary": {"type": "dictionary"}, "scripted": {"type": "scripted"}}
    more = '[plugins.acme]\nmanifest = "manifest.yaml"'
    with running_worker(redis_url, tmp_path, providers=providers, env=INSTALLED, more=more):
        command = [sys.executable, "-c", ASK, redis_url]
        done = subprocess.run(
            command, env={**os.environ, **INSTALLED}, cwd=ROOT, capture_output=True, check=True
        )
    expected = "guten Tag" if allowed else "enable translation access in plugin manifest"
    assert expected in done.stdout.decode()


ASK = """
import sys
from invokeq import Session
from invokeq.errors import InvokeqError
with Session("acme", "tenant-1", redis=sys.argv[1]) as session:
    try:
        print(session.model.of("translation").invoke("dictionary", "pocket", "good day", "de"))
    except InvokeqError as error:
        print(error)
"""


def test_a_kind_that_cannot_be_loaded_stops_a_worker(redis_url: str, tmp_path: Path) -> None:
    broken = tmp_path / "broken-1.0.dist-info"
    broken.mkdir()
    (broken / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (broken / "entry_points.txt").write_text("[invokeq.kinds]\nbroken = no_such_module:KIND\n")
    with (
        pytest.raises(AssertionError, match=r"invokeq\.kinds:broken: cannot be loaded"),
        running_worker(redis_url, tmp_path, env={"PYTHONPATH": str(tmp_path)}),
    ):
        pass
