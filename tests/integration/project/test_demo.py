"""`make demo`: the tools and the tour of all calls work, and no process outlives the demo."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest
import redis

from invokeq.protocol import events
from invokeq.protocol.redis import keys
from tests.support.paths import EXAMPLES
from tests.support.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.local_model]

Entries = list[tuple[bytes, dict[bytes, bytes]]]

DEMO = EXAMPLES / "demo.py"
PATH = re.compile(
    r"request (?P<id>[0-9a-f]{32}): (?P<job>\d+) bytes into lane (?P<lane>\S+),"
    r" attempt 1 on (?P<worker>\S+), (?P<events>\d+) events in (?P<entries>\d+) stream entries"
    r" back, (?P<bytes>\d+) bytes"
)


@dataclass(slots=True)
class Demo:
    """The demo in a process session of its own, with the output so far."""

    process: "subprocess.Popen[bytes]"
    printed: str = ""
    family: set[int] = field(default_factory=set[int])

    def until(self, text: str) -> None:
        """Read on until `text` has been printed."""
        assert self.process.stdout is not None
        while text not in self.printed:
            read = os.read(self.process.stdout.fileno(), 65536)
            assert read, f"the demo ended before it printed {text!r}: {self.printed}"
            self.printed += read.decode(errors="replace")
        self.family |= descendants(self.process.pid)

    def end(self) -> int:
        """Read to the end and return the exit code."""
        self.printed += self.process.communicate()[0].decode()
        return self.process.returncode

    def leaves_nothing(self) -> None:
        """Wait until every process ever seen under the demo has ended."""
        eventually("all of it is gone", lambda: not [p for p in self.family if is_running(p)])


@contextmanager
def running_demo(directory: Path, url: str = "") -> Generator[Demo, None, None]:
    with subprocess.Popen(
        [sys.executable, str(DEMO)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "INVOKEQ_REDIS_URL": url, "TMPDIR": str(directory)},
        start_new_session=True,
    ) as process:
        try:
            yield Demo(process)
        finally:
            process.kill()


def is_running(pid: int) -> bool:
    stat = stat_of(pid)
    return bool(stat) and stat[0] != "Z"


def stat_of(pid: int) -> list[str]:
    """Return the fields of /proc/<pid>/stat after the name: state, parent and so on."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def descendants(pid: int) -> set[int]:
    """Return the descendants of process `pid`."""
    parents = {int(p.name): stat_of(int(p.name)) for p in Path("/proc").glob("[0-9]*")}
    found, new = set[int](), {pid}
    while new:
        found |= new
        new = {child for child, stat in parents.items() if stat and int(stat[1]) in new} - found
    return found - {pid}


def test_all_calls_work_and_nothing_stays_behind(tmp_path: Path) -> None:
    with running_demo(tmp_path) as demo:
        demo.until("Why is the sky blue?")
        assert len(demo.family) == 3, "an embedded Valkey, a worker and the plugin"
        assert demo.end() == 0, demo.printed
        demo.leaves_nothing()
    assert re.search(r"^plugin   process \d+, invokeq/ask_model ", demo.printed, re.MULTILINE)
    fixed, picked = demo.printed.split("\n\ntool ")[1:3]
    assert fixed.startswith("llm_fixed, ")
    assert picked.startswith("llm, ")
    for part in (fixed, picked):
        assert re.search(r"^usage    [1-9]\d* \+ [1-9]\d* = [1-9]\d* tokens, ", part, re.MULTILINE)
        assert len(PATH.findall(part)) == 1
    assert "Traceback" not in demo.printed
    check_tour(dict(part.split("\n", 1) for part in demo.printed.split("\n\nsession.model.")[1:]))
    assert list(tmp_path.iterdir()) == []


def check_tour(told: dict[str, str]) -> None:
    """Check the output of each call of the tour."""
    assert list(told) == [
        "tts",
        "speech2text",
        "text_embedding",
        "rerank",
        "moderation",
        "summary",
    ]
    assert (
        len(re.findall(r"^segment \d+: an mp3 of [1-9]\d* bytes$", told["tts"], re.MULTILINE)) >= 2
    )
    heard = told["speech2text"].splitlines()[1].lower()
    assert sum(word in heard for word in ("weather", "nice", "today", "beach", "water")) >= 3
    best = told["rerank"].splitlines()[1]
    assert best.endswith(
        "A day by the sea: take something to drink, and clothes for the evening wind."
    )
    assert best in told["text_embedding"]
    clean, sensitive = told["moderation"].splitlines()[1:3]
    assert (clean.split()[0], sensitive.split()[0]) == ("clean", "sensitive")
    assert len(told["summary"].splitlines()[1]) > 1


def test_the_numbers_are_those_that_redis_has(
    tmp_path: Path, redis_url: str, redis_client: redis.Redis
) -> None:
    with running_demo(tmp_path, redis_url) as demo:
        demo.until("all calls work")
        assert len(demo.family) <= 1, "nothing but a worker: the plugin has ended"
        assert demo.end() == 0
        demo.leaves_nothing()
    trips = list(PATH.finditer(demo.printed))
    assert len(trips) == 2
    for trip in trips:
        entries = cast(Entries, redis_client.xrange(keys.events(trip["id"])))
        seen = [event for entry in entries for event in events.unpack(*entry)]
        assert (int(trip["events"]), int(trip["entries"])) == (len(seen), len(entries))
        assert int(trip["bytes"]) == sum(len(v) for _, entry in entries for v in entry.values())
        assert int(trip["job"]) == redis_client.hstrlen(keys.job(trip["id"]), "data")
        assert seen[0].data["worker"] == trip["worker"]
        assert trip["lane"] == "llm:invokeq/ask_model"


def test_kill_9_in_the_middle_of_an_answer_ends_all_of_it(tmp_path: Path) -> None:
    with running_demo(tmp_path) as demo:
        demo.until("The sky")
        demo.process.kill()
        demo.end()
        assert "usage" not in demo.printed, "the answer was shown only when it was complete"
        assert len(demo.family) == 3
        demo.leaves_nothing()


def test_ctrl_c_in_the_middle_of_an_answer_cleans_up(tmp_path: Path) -> None:
    with running_demo(tmp_path) as demo:
        demo.until("The sky")
        os.killpg(demo.process.pid, signal.SIGINT)
        assert demo.end() == 130
        assert demo.printed.endswith("\nstopped\n")
        assert "Traceback" not in demo.printed
        assert len(demo.family) == 3
        demo.leaves_nothing()
    assert list(tmp_path.iterdir()) == []


def test_sigterm_before_the_worker_is_ready_cleans_up(tmp_path: Path) -> None:
    with running_demo(tmp_path) as demo:
        demo.until("valkey ")
        eventually("the worker starts", lambda: len(descendants(demo.process.pid)) == 2)
        demo.family = descendants(demo.process.pid)
        demo.process.terminate()
        assert demo.end() == 130
        demo.leaves_nothing()
    assert list(tmp_path.iterdir()) == []


def test_an_unreachable_redis_is_one_line(tmp_path: Path) -> None:
    with running_demo(tmp_path, "redis://127.0.0.1:1/0") as demo:
        assert demo.end() == 1
    assert demo.printed.startswith("error: ")
    assert "127.0.0.1:1" in demo.printed
    assert demo.printed.count("\n") == 1
