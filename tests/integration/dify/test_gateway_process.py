"""The gateway as a process: trust, health, signals."""

import json
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.processes.gateway import (
    KEY,
    TRANSACTION,
    Gateway,
    envelope,
    prompt,
    running_gateway,
)
from tests.support.processes.worker import WorkerProcess, running_worker
from tests.support.waiting import eventually

BEARER = {"Authorization": f"Bearer {KEY}"}


def test_who_is_not_trusted_speaks_for_nobody(redis_url: str, tmp_path: Path) -> None:
    with running_worker(redis_url, tmp_path), running_gateway(redis_url, tmp_path) as gateway:
        (error, _end) = asked(gateway, gateway.open_session())
        assert error["data"]["message"] == "Plugin 'acme' may not use the lane of 'gateway'"


def test_permissions_are_those_of_the_plugin_that_is_spoken_for(
    redis_url: str, tmp_path: Path
) -> None:
    """The words are Dify's, without additions."""
    manifest = "resource:\n  permission:\n    model:\n      enabled: true\n      tts: true\n"
    (tmp_path / "manifest.yaml").write_text(manifest)
    more = '[plugins.acme]\nmanifest = "manifest.yaml"'
    with (
        running_worker(redis_url, tmp_path, trusted=["gateway"], more=more),
        running_gateway(redis_url, tmp_path) as gateway,
    ):
        (error, _end) = asked(gateway, gateway.open_session())
        words = "permission denied, you need to enable llm access in plugin manifest"
        assert error["data"]["message"] == words
        assert asked(gateway, gateway.open_session(plugin_id="other"))[0]["data"]["data"]


def asked(gateway: Gateway, session_id: str) -> list[dict[str, Any]]:
    """Ask an LLM; gives the lines of the answer."""
    body = json.dumps(envelope(session_id, "llm", prompt("x"))).encode()
    _, reply = gateway.ask("POST", TRANSACTION, body, {"Dify-Plugin-Session-ID": session_id})
    return [json.loads(line) for line in reply.splitlines() if line]


def test_health_is_that_of_redis_and_the_workers(redis_url: str, tmp_path: Path) -> None:
    with running_gateway(redis_url, tmp_path) as gateway:
        status, reply = gateway.ask("GET", "/health")
        assert (status, json.loads(reply)) == (503, {"status": "no worker", "workers": 0})
        with running_worker(redis_url, tmp_path):
            eventually("a worker is seen", lambda: gateway.ask("GET", "/health")[0] == 200)


def test_health_says_when_redis_is_away(tmp_path: Path) -> None:
    with running_gateway("redis://127.0.0.1:1/0", tmp_path) as gateway:
        status, reply = gateway.ask("GET", "/health")
        _, body = gateway.ask("POST", "/sessions", {"plugin_id": "a"}, BEARER)
        came = asked(gateway, "a-session-of-old")
    assert [line["data"]["event"] for line in came] == ["error", "end"]
    assert came[0]["data"]["data"]["args"]["retryable"] is True
    assert json.loads(body)["error"]["code"] == "broker_unavailable"
    assert status == 503
    assert json.loads(reply)["error"]["code"] == "broker_unavailable"


def answer_in_thread(gateway: Gateway, session_id: str, **params: Any) -> Iterator[Any]:
    """Call in a thread; yield the thread, then the body of the answer."""
    request = prompt("x", model="stream", completion_params=params)
    body = json.dumps(envelope(session_id, "llm", request)).encode()
    headers = {"Dify-Plugin-Session-ID": session_id}
    came: list[tuple[int, bytes]] = []
    thread = threading.Thread(
        target=lambda: came.append(gateway.ask("POST", TRANSACTION, body, headers)), daemon=True
    )
    thread.start()
    yield thread
    thread.join(20)
    yield came[0][1] if came else b""


def noted(worker: WorkerProcess) -> str:
    """The scripted vendor's journal."""
    return worker.journal.read_text() if worker.journal.exists() else ""


def test_sigterm_lets_what_runs_finish(redis_url: str, tmp_path: Path) -> None:
    """Without the wait for running calls the answer would break off before the `end`."""
    with (
        running_worker(redis_url, tmp_path, trusted=["gateway"]) as worker,
        running_gateway(redis_url, tmp_path) as gateway,
    ):
        asking = answer_in_thread(gateway, gateway.open_session(), chunks=20, rate=20)
        next(asking)
        eventually("the vendor answers", lambda: "started" in noted(worker))
        assert gateway.stop() == 0
        events = [json.loads(line)["data"]["event"] for line in next(asking).splitlines() if line]
        assert events == ["response"] * 21 + ["end"]
        assert gateway.lines("gateway stopping")[0]["running"] == 1


def test_what_does_not_finish_in_time_is_cancelled_at_the_vendor(
    redis_url: str, tmp_path: Path
) -> None:
    with (
        running_worker(redis_url, tmp_path, trusted=["gateway"]) as worker,
        running_gateway(redis_url, tmp_path, "--grace", "1") as gateway,
    ):
        asking = answer_in_thread(gateway, gateway.open_session(), hang_after=1)
        next(asking)
        eventually("the vendor answers", lambda: "started" in noted(worker))
        assert gateway.stop() == 0
        lines = [json.loads(line)["data"] for line in next(asking).splitlines() if line]
        assert [line["event"] for line in lines] == ["response", "error", "end"]
        assert lines[1]["message"] == "The invocation was cancelled (shutdown) [cancelled]"
        eventually("the vendor is told", lambda: "closed" in noted(worker))


def test_a_second_signal_ends_it_at_once(redis_url: str, tmp_path: Path) -> None:
    with (
        running_worker(redis_url, tmp_path, trusted=["gateway"]) as worker,
        running_gateway(redis_url, tmp_path, "--grace", "600") as gateway,
    ):
        asking = answer_in_thread(gateway, gateway.open_session(), hang_after=1)
        next(asking)
        eventually("the vendor answers", lambda: "started" in noted(worker))
        gateway.process.send_signal(signal.SIGTERM)
        eventually("it is stopping", lambda: gateway.lines("gateway stopping"))
        assert gateway.stop(signal.SIGINT) == 0
        eventually("the vendor is told", lambda: "closed" in noted(worker))
        next(asking)
