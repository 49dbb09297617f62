"""The operator's commands, run as by an operator."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from invokeq_worker.redis.server_check import live_workers
from tests.support.processes.worker import write_config
from tests.support.servers.clients import connect
from tests.support.waiting import eventually

INVOKEQ = [sys.executable, "-m", "invokeq.cli"]
BOUND = 60.0
"""Seconds; far more than any command takes."""

SCRIPTED = {"scripted": {"type": "scripted"}}


@dataclass(frozen=True, slots=True)
class Running:
    """A command in the background."""

    process: subprocess.Popen[str]
    out: Path
    err: Path

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal to the command and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(BOUND)

    def says(self, text: str) -> bool:
        """Return whether the command has printed a text; fail if the command ended before."""
        found = text in self.out.read_text()
        assert found or self.process.poll() is None, self.err.read_text()
        return found

    def redis_url(self) -> str:
        """The address printed by `invokeq up`."""
        match = re.search(r"^export INVOKEQ_REDIS_URL=(\S+)$", self.out.read_text(), re.MULTILINE)
        assert match is not None
        return match[1]


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment without the shell's invokeq variables, and without colours."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("INVOKEQ_")}
    return {**plain, "COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb", **(extra or {})}


def run(
    directory: Path, *words: str, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*INVOKEQ, *words],
        cwd=directory, env=environment(env), capture_output=True, text=True, timeout=BOUND,
        check=False,
    )  # fmt: skip


@contextmanager
def background(
    directory: Path, *words: str, env: Mapping[str, str] | None = None
) -> Generator[Running]:
    out, err = directory / "out", directory / "err"
    with out.open("w") as stdout, err.open("w") as stderr:
        process = subprocess.Popen(
            [*INVOKEQ, *words],
            cwd=directory, env=environment(env), stdout=stdout, stderr=stderr, text=True,
        )  # fmt: skip
    try:
        yield Running(process, out, err)
    finally:
        process.kill()
        process.wait(BOUND)


def workers_at(url: str) -> list[dict[str, Any]]:
    with connect(url) as client:
        return live_workers(client, url)


def pids_at(url: str) -> set[int]:
    return {entry["pid"] for entry in workers_at(url)}


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def none_runs(pids: Sequence[int] | set[int]) -> bool:
    return not any(is_running(pid) for pid in pids)


@pytest.fixture
def config(tmp_path: Path, redis_url: str) -> Path:
    """A configuration with pool `main`, the scripted provider and the server of the test."""
    return write_config(tmp_path / "invokeq.toml", redis_url, providers=SCRIPTED)


def one_error(done: subprocess.CompletedProcess[str]) -> str:
    """Return the single line of a command with an expected failure."""
    assert done.returncode == 1, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    return line.removeprefix("error: ")


def test_a_worker_serves_until_sigterm(config: Path, redis_url: str) -> None:
    with background(config.parent, "worker", "--pool", "main", "--name", "w7") as worker:
        eventually("it is there", lambda: workers_at(redis_url), within=BOUND)
        (entry,) = workers_at(redis_url)
        assert (entry["name"], entry["pool"], entry["queues"]) == ("w7", "main", ["llm"])
        assert entry["pid"] == worker.process.pid
        assert worker.end() == 0
    assert workers_at(redis_url) == []


def test_burst_ends_when_there_is_nothing_to_do(config: Path) -> None:
    done = run(config.parent, "worker", "--pool", "main", "--burst")
    assert done.returncode == 0, done.stderr


def test_of_several_processes_one_that_dies_is_started_again(config: Path, redis_url: str) -> None:
    words = ("worker", "--pool", "main", "--processes", "2", "--name", "w")
    with background(config.parent, *words) as supervisor:
        eventually("both are there", lambda: len(pids_at(redis_url)) == 2, within=BOUND)
        before = pids_at(redis_url)
        victim = min(before)
        os.kill(victim, signal.SIGKILL)
        eventually(
            "another one is there",
            lambda: len(pids_at(redis_url) - {victim}) == 2,
            within=BOUND,
        )
        after = pids_at(redis_url) - {victim}
        assert before - {victim} < after
        names = {entry["name"] for entry in workers_at(redis_url) if entry["pid"] != victim}
        assert len(names & {"w.1", "w.2"}) == 1
        assert len(names & {"w.1.2", "w.2.2"}) == 1
        assert supervisor.end(signal.SIGINT) == 0
    assert none_runs(after)
    assert pids_at(redis_url) <= {victim}


def test_kill_9_of_the_supervisor_ends_the_workers(config: Path, redis_url: str) -> None:
    with background(config.parent, "worker", "--pool", "main", "--processes", "2") as supervisor:
        eventually("both are there", lambda: len(pids_at(redis_url)) == 2, within=BOUND)
        pids = pids_at(redis_url)
        supervisor.process.kill()
        eventually("they have ended", lambda: none_runs(pids), within=BOUND)
    assert workers_at(redis_url) == [], "they signed off, because they were asked to end"


def test_a_pool_that_does_not_exist_is_one_line(config: Path) -> None:
    line = one_error(run(config.parent, "worker", "--pool", "mian"))
    assert line == "invokeq.toml: pools: no pool is called 'mian'; did you mean main?"


@pytest.mark.parametrize("words", [("worker", "--pool", "llm"), ("up",), ("health",)])
def test_a_wrong_configuration_is_one_line(tmp_path: Path, words: Sequence[str]) -> None:
    (tmp_path / "wrong.toml").write_text("[limits]\nresult_tll = 1\n")
    line = one_error(run(tmp_path, *words, "--config", "wrong.toml"))
    assert line == "wrong.toml: limits.result_tll: no such setting; did you mean result_ttl?"


@pytest.mark.parametrize("words", [("worker", "--pool", "main"), ("up",), ("health",)])
def test_a_server_that_is_not_there_is_one_line(tmp_path: Path, words: Sequence[str]) -> None:
    write_config(tmp_path / "invokeq.toml", "redis://127.0.0.1:1/0", providers=SCRIPTED)
    line = one_error(run(tmp_path, *words))
    assert line.startswith("Redis at redis://127.0.0.1:1/0 cannot be reached: ")


def test_processes_that_cannot_work_are_given_up_at_once(tmp_path: Path, redis_url: str) -> None:
    write_config(
        tmp_path / "invokeq.toml", redis_url, providers={"scripted": {"type": "scripted", "x": 1}}
    )
    done = run(tmp_path, "worker", "--pool", "main", "--processes", "2")
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert "error: invokeq.toml: providers.scripted.x: no such option; there are:" in done.stderr
    assert re.match(r"error: Worker process main\.[12] does not start: 1 of 1 times", lines[-1])


def test_up_runs_everything_until_ctrl_c(tmp_path: Path) -> None:
    (tmp_path / "invokeq.toml").write_text(
        '[providers.scripted]\n[pools.a]\nqueues = ["llm"]\n'
        '[pools.b]\nqueues = ["llm.scripted"]\nprocesses = 2\n'
    )
    with background(tmp_path, "up") as up:
        eventually("it is ready", lambda: up.says("ready: 3 worker processes"), within=BOUND)
        url = up.redis_url()
        entries = workers_at(url)
        assert sorted(entry["pool"] for entry in entries) == ["a", "b", "b"]
        with connect(url) as client:
            server = client.info("server")["process_id"]
        assert up.end(signal.SIGINT) == 0
    assert none_runs([server, *(entry["pid"] for entry in entries)])


def test_kill_9_of_up_leaves_no_process(tmp_path: Path) -> None:
    (tmp_path / "invokeq.toml").write_text('[providers.scripted]\n[pools.a]\nqueues = ["llm"]\n')
    with background(tmp_path, "up") as up:
        eventually("it is ready", lambda: up.says("ready: "), within=BOUND)
        url = up.redis_url()
        with connect(url) as client:
            pids = {client.info("server")["process_id"], *pids_at(url)}
        assert len(pids) == 2
        up.process.kill()
        eventually("all have ended", lambda: none_runs(pids), within=BOUND)


def test_up_ends_when_its_server_does(tmp_path: Path) -> None:
    (tmp_path / "invokeq.toml").write_text('[providers.scripted]\n[pools.a]\nqueues = ["llm"]\n')
    with background(tmp_path, "up") as up:
        eventually("it is ready", lambda: up.says("ready: "), within=BOUND)
        url = up.redis_url()
        pids = pids_at(url)
        with connect(url) as client:
            os.kill(client.info("server")["process_id"], signal.SIGKILL)
        assert up.process.wait(BOUND) == 1
        assert "the embedded server ended" in up.err.read_text().splitlines()[-1]
    assert none_runs(pids)


@pytest.mark.parametrize("by_variable", [True, False])
def test_up_uses_the_server_that_is_named(
    tmp_path: Path, redis_url: str, by_variable: bool
) -> None:
    text = '[providers.scripted]\n[pools.a]\nqueues = ["llm"]\n'
    env = {"INVOKEQ_REDIS_URL": redis_url} if by_variable else {}
    (tmp_path / "invokeq.toml").write_text(
        text if by_variable else f'{text}[redis]\nurl = "{redis_url}"\n'
    )
    with background(tmp_path, "up", env=env) as up:
        eventually("it is ready", lambda: up.says("ready: 1 worker process;"), within=BOUND)
        assert f"Redis is {redis_url}" in up.out.read_text()
        assert len(workers_at(redis_url)) == 1
        assert up.end() == 0


@pytest.mark.local_model
def test_up_needs_no_configuration(tmp_path: Path) -> None:
    with background(tmp_path, "up") as up:
        eventually("it is ready", lambda: up.says("ready: "), within=BOUND)
        (entry,) = workers_at(up.redis_url())
        assert (entry["pool"], entry["queues"]) == ("llm", ["llm"])
        assert up.end() == 0


def test_config_check_shows_everything_but_credentials(tmp_path: Path, redis_url: str) -> None:
    write_config(
        tmp_path / "invokeq.toml",
        redis_url,
        providers={
            "scripted": {"type": "scripted"},
            "vllm": {"type": "openai", "api_key": "sk-secret-1", "base_url": "http://v:8000/v1"},
        },
        queues=["llm.vllm", "llm"],
    )
    done = run(tmp_path, "config", "check")
    assert (done.returncode, done.stderr) == (0, "")
    shown = re.sub(r"[ │┃]+", " ", done.stdout)
    assert f"Redis: {redis_url} (ok)" in shown
    assert "vllm openai" in shown
    assert "api_key = ***" in shown
    assert "base_url = http://v:8000/v1" in shown
    assert "main llm.vllm vllm 1 x 500" in shown
    assert " llm scripted, vllm " in shown
    assert "sk-secret-1" not in done.stdout


def test_config_check_has_a_line_for_each_problem(tmp_path: Path) -> None:
    path = write_config(
        tmp_path / "other.toml",
        "redis://127.0.0.1:1/0",
        providers={"scripted": {"type": "scripted", "x": 1}, "fast": {"type": "fsat"}},
    )
    done = run(tmp_path, "config", "check", "--config", str(path))
    assert done.returncode == 1
    option, kind, server = done.stderr.splitlines()
    assert option.startswith(f"error: {path}: providers.scripted.x: no such option; there are:")
    assert kind.startswith(f"error: {path}: providers.fast.type: no provider type is called 'fsat'")
    assert server.startswith("error: Redis at redis://127.0.0.1:1/0 cannot be reached")


def test_config_check_lists_all_mistakes_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "invokeq.toml").write_text("[limits]\nresult_ttl = 0\n[log]\nlevel = 1\n")
    done = run(tmp_path, "config", "check")
    assert done.returncode == 1
    assert [line.split(": ")[2] for line in done.stderr.splitlines()] == [
        "limits.result_ttl",
        "log.level",
    ]


def test_health_is_0_where_a_worker_lives(config: Path, redis_url: str) -> None:
    assert one_error(run(config.parent, "health")) == "no live worker on this host"
    with background(config.parent, "worker", "--pool", "main", "--name", "w7") as worker:
        eventually("it is there", lambda: workers_at(redis_url), within=BOUND)
        done = run(config.parent, "health", "--pool", "main")
        assert (done.returncode, done.stdout) == (0, "w7\n")
        assert run(config.parent, "health", "--pool", "other").returncode == 1
        assert worker.end() == 0


@pytest.mark.parametrize("words", [["worker"], ["up"], ["health"], ["config"], ["config", "check"]])
def test_every_command_has_help(tmp_path: Path, words: list[str]) -> None:
    done = run(tmp_path, *words, "--help")
    assert done.returncode == 0
    assert f"Usage: invokeq {' '.join(words)}" in done.stdout


def test_help_imports_nothing_heavy() -> None:
    script = "import sys, invokeq_worker.cli; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    heavy = {"pydantic", "redis", "rq", "structlog", "uvloop", "invokeq_providers", "asyncio"}
    assert heavy & set(done.stdout.split()) == set()
