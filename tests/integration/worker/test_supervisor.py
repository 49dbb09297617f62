"""Supervision of real processes: what dies comes back, what is told to end ends, none is left."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from invokeq.protocol.errors import BrokerUnavailableError, ConfigurationError
from invokeq_worker.process.exit_status import MISCONFIGURED
from invokeq_worker.process.restarts import RestartPolicy
from invokeq_worker.process.supervisor import Child, Supervisor, WorkerStartError
from tests.support.waiting import eventually, eventually_async

SWIFT = RestartPolicy(first_delay=0.001, last_delay=0.01)
FOREVER = 600.0
"""Seconds; longer than any test."""

NOTE = """
import os, signal, sys
from pathlib import Path

def note(event):
    with Path(sys.argv[1]).open("a") as journal:
        journal.write(f"{event} {os.getpid()}\\n")

def starts():
    return Path(sys.argv[1]).read_text().count("start")
"""

# Signals are blocked before the note, so that none can come too early.
WAIT = (
    NOTE
    + """
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGUSR1})
note("start")
signal.sigwait({signal.SIGTERM, signal.SIGUSR1})
"""
)

DEAF = (
    NOTE
    + """
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
note("start")
while True:
    note(signal.Signals(signal.sigwait({signal.SIGTERM, signal.SIGINT})).name)
"""
)

TIED = (
    NOTE
    + """
from invokeq_worker.process.parent_death import die_with_parent
die_with_parent(int(sys.argv[2]), signal.SIGTERM)
note("start")
signal.pause()
"""
)

PARENT = """
import asyncio, os, sys
from invokeq_worker.process.supervisor import Child, Supervisor

script, grace, count = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
children = [
    Child(f"c{n}", lambda start: [sys.executable, "-c", script, sys.argv[4], str(os.getpid())])
    for n in range(count)
]
sys.exit(asyncio.run(Supervisor(children, grace).run()))
"""


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Path]:
    """Where children note what happens to them; those that a failed test leaves are ended."""
    with journal_at(tmp_path / "journal") as path:
        yield path


@pytest.fixture
def sibling(tmp_path: Path) -> Iterator[Path]:
    """The journal of another child."""
    with journal_at(tmp_path / "sibling") as path:
        yield path


@contextmanager
def journal_at(path: Path) -> Generator[Path]:
    path.touch()
    try:
        yield path
    finally:
        for pid in noted(path, "start"):
            if is_running(pid):
                os.kill(pid, signal.SIGKILL)


def child(journal: Path, script: str, name: str = "child") -> Child:
    return Child(name, lambda start: [sys.executable, "-c", script, str(journal)])


def noted(journal: Path, event: str) -> list[int]:
    """The pids of the processes that noted an event, in the order in which they did."""
    lines = [line.split() for line in journal.read_text().splitlines()]
    return [int(pid) for name, pid in lines if name == event]


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@contextmanager
def supervising_process(
    journal: Path, script: str, *, grace: float = FOREVER, count: int = 2
) -> Generator[subprocess.Popen[str]]:
    """Run a supervisor of `count` children in a process of its own."""
    words = [sys.executable, "-c", PARENT, script, str(grace), str(count), str(journal)]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    try:
        eventually("all started", lambda: len(noted(journal, "start")) == count)
        yield process
    finally:
        process.kill()
        process.communicate()


def none_runs(journal: Path) -> Callable[[], bool]:
    return lambda: not any(is_running(pid) for pid in noted(journal, "start"))


async def test_a_process_that_is_killed_comes_back_and_its_siblings_stay(
    journal: Path, sibling: Path
) -> None:
    supervisor = Supervisor(
        [child(journal, WAIT, "victim"), child(sibling, WAIT, "sibling")], FOREVER, policy=SWIFT
    )
    running = asyncio.create_task(supervisor.run())
    for count in (1, 2, 3):
        await eventually_async("started", lambda n=count: len(noted(journal, "start")) == n)
        await eventually_async("sibling started", lambda: noted(sibling, "start"))
        assert supervisor.pids == {noted(journal, "start")[-1], noted(sibling, "start")[0]}
        if count < 3:
            os.kill(noted(journal, "start")[-1], signal.SIGKILL)
    for pid in supervisor.pids:
        os.kill(pid, signal.SIGUSR1)
    assert await running == 0
    assert len(set(noted(journal, "start"))) == 3
    assert len(noted(sibling, "start")) == 1


async def test_status_zero_ends_a_place_of_the_pool(journal: Path) -> None:
    once = child(journal, NOTE + 'note("start")')
    assert await Supervisor([once], FOREVER, policy=SWIFT).run() == 0
    assert len(noted(journal, "start")) == 1


async def test_a_process_that_never_starts_is_given_up_with_one_line(journal: Path) -> None:
    policy = RestartPolicy(first_delay=0.001, start_attempts=3)
    failing = child(journal, NOTE + 'note("start"); sys.exit(3)', "llm.1")
    with pytest.raises(WorkerStartError) as caught:
        await Supervisor([failing], FOREVER, policy=policy).run()
    assert isinstance(caught.value, ConfigurationError)
    assert str(caught.value) == (
        "Worker process llm.1 does not start: 3 of 3 times it ended with status 3;"
        " its own last lines say why"
    )
    assert len(noted(journal, "start")) == 3


async def test_a_wrong_configuration_ends_all_at_once(journal: Path, sibling: Path) -> None:
    # It waits for its sibling, to show that a living one makes no difference.
    script = (
        NOTE
        + f"""
while not Path({str(sibling)!r}).read_text(): pass
note("start")
sys.exit({MISCONFIGURED})
"""
    )
    children = [child(journal, script, "wrong"), child(sibling, WAIT, "sibling")]
    with pytest.raises(WorkerStartError, match="wrong does not start: 1 of 1 times"):
        await Supervisor(children, FOREVER, policy=SWIFT).run()
    assert none_runs(sibling)()


async def test_a_command_that_does_not_exist_is_given_up(tmp_path: Path) -> None:
    missing = Child("missing", lambda start: [str(tmp_path / "no-such-program")])
    with pytest.raises(WorkerStartError, match="status 127"):
        await Supervisor([missing], FOREVER, policy=SWIFT).run()


async def test_lives_are_measured_by_the_clock_that_was_given(journal: Path) -> None:
    """Each process seems to live for an hour, so five deaths are not five failed starts."""
    hours = iter(range(0, 1_000_000, 3600))
    script = NOTE + 'note("start"); sys.exit(0 if starts() == 8 else 1)'
    supervisor = Supervisor(
        [child(journal, script)], FOREVER, policy=SWIFT, clock=lambda: float(next(hours))
    )
    assert await supervisor.run() == 0
    assert len(noted(journal, "start")) == 8


async def test_each_start_has_its_own_command_line(journal: Path) -> None:
    script = NOTE + 'note(sys.argv[2]); sys.exit(0 if sys.argv[2] == "start3" else 1)'
    counting = Child("c", lambda n: [sys.executable, "-c", script, str(journal), f"start{n}"])
    assert await Supervisor([counting], FOREVER, policy=SWIFT).run() == 0
    assert [len(noted(journal, f"start{n}")) for n in (1, 2, 3)] == [1, 1, 1]


async def test_a_failure_from_outside_ends_all_and_is_raised(journal: Path) -> None:
    supervisor = Supervisor([child(journal, WAIT)], FOREVER)
    running = asyncio.create_task(supervisor.run())
    await eventually_async("started", lambda: noted(journal, "start"))
    supervisor.fail(BrokerUnavailableError(address="here", detail="it ended"))
    with pytest.raises(BrokerUnavailableError, match="it ended"):
        await running
    assert none_runs(journal)()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_passed_on_and_ends_all_with_status_0(
    journal: Path, number: signal.Signals
) -> None:
    script = (
        NOTE
        + """
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
note("start")
note(signal.Signals(signal.sigwait({signal.SIGTERM, signal.SIGINT})).name)
"""
    )
    with supervising_process(journal, script) as process:
        for pid in noted(journal, "start"):
            assert os.getpgid(pid) == pid, "Ctrl-C in a terminal would reach it twice"
        process.send_signal(number)
        assert process.wait(20) == 0
    assert sorted(noted(journal, number.name)) == sorted(noted(journal, "start"))
    assert none_runs(journal)()


def test_what_does_not_end_within_the_grace_time_is_killed(journal: Path) -> None:
    with supervising_process(journal, DEAF, grace=0.2) as process:
        process.terminate()
        assert process.wait(20) == 1
    assert len(noted(journal, "SIGTERM")) == 2
    assert none_runs(journal)()


def test_the_second_signal_is_passed_on_and_the_third_kills(journal: Path) -> None:
    with supervising_process(journal, DEAF, count=1) as process:
        for count in (1, 2):
            process.terminate()
            eventually("passed on", lambda n=count: len(noted(journal, "SIGTERM")) == n)
        process.terminate()
        assert process.wait(20) == 1
    assert none_runs(journal)()


def test_kill_9_of_the_supervisor_ends_the_processes(journal: Path) -> None:
    with supervising_process(journal, TIED) as process:
        process.kill()
        process.wait()
        eventually("all have ended", none_runs(journal))


def test_a_process_whose_parent_is_gone_before_it_looks_ends(journal: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    orphan = subprocess.run(
        [sys.executable, "-c", TIED, str(journal), str(ended.pid)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert orphan.returncode == 1
    assert orphan.stderr == f"error: the parent process {ended.pid} has gone\n"
    assert noted(journal, "start") == []
