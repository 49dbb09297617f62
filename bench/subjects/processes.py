"""Child processes, measured from outside and ended by process group."""

import json
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

TICK: Final = os.sysconf("SC_CLK_TCK")
STOP_SECONDS: Final = 3.0


class ChildError(Exception):
    """A child process ended, timed out, or answered with an error."""


class Child:
    """A process in a new process group; with `talks`, a server of `bench.peers.lines`."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        env: Mapping[str, str],
        *,
        talks: bool = False,
    ) -> None:
        self.name = name
        self.log = log
        pipe = subprocess.PIPE if talks else None
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=pipe or subprocess.DEVNULL,
                stdout=pipe or output,
                stderr=output,
                env={**os.environ, **env},
                start_new_session=True,
            )
        self._buffer = b""

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, do: str, *, within: float = 60.0, **arguments: Any) -> Any:
        """Send a command and return the answer; raise ChildError after `within` seconds."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **arguments}).encode() + b"\n")
            self._process.stdin.flush()
        except OSError as error:
            raise ChildError(f"{self.name} is gone: see {self.log}") from error
        answer = json.loads(self._line(do, time.monotonic() + within))
        if "error" in answer:
            raise ChildError(f"{self.name}, {do}: {answer['error']}")
        return answer["ok"]

    def _line(self, do: str, until: float) -> bytes:
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                if not selector.select(max(0.0, until - time.monotonic())):
                    raise ChildError(f"{self.name}, {do}: no answer in time; see {self.log}")
                data = os.read(self._process.stdout.fileno(), 1 << 20)
                if not data:
                    raise ChildError(f"{self.name}, {do}: it ended; see {self.log}")
                self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the whole process group."""
        if self.alive:
            os.killpg(self.pid, number)

    def stop(self) -> None:
        """End the process group with SIGTERM, and with SIGKILL after a grace time."""
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGKILL)
            self._process.wait(STOP_SECONDS)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def kill(self) -> None:
        """End the process group with SIGKILL."""
        self.signal(signal.SIGKILL)
        self.stop()


def tree(pid: int) -> list[int]:
    """Return the ids of a process and all its descendants."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        fields = _stat(path)
        if fields:
            children.setdefault(int(fields[1]), []).append(int(path.parent.name))
    found = [pid]
    for parent in found:
        found += children.get(parent, [])
    return found


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds of a process and its descendants, with ended children."""
    total = 0
    for each in tree(pid):
        fields = _stat(Path(f"/proc/{each}/stat"))
        total += sum(map(int, fields[11:15]))
    return total / TICK


def rss_mb(pid: int) -> float:
    """Return the resident memory of a process and its descendants in MB, shared pages once."""
    total = 0
    for each in tree(pid):
        try:
            lines = Path(f"/proc/{each}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def own_rss_kb(pid: int) -> int:
    """Return the resident memory of one process in kB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


def _stat(path: Path) -> list[str]:
    """Return the fields of /proc/<pid>/stat from the state on; none if the process has ended."""
    try:
        return path.read_text().rpartition(")")[2].split()
    except OSError:
        return []
