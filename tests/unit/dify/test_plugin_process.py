"""A plugin's process over stdin and stdout, with a misbehaving plugin."""

import asyncio
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from invokeq.dify.plugins import PluginPackage, PluginProcess, load_package
from invokeq.dify.plugins.lines import LineReader
from invokeq.protocol.errors import (
    PermissionDeniedError,
    PluginCrashedError,
    PluginFailedError,
    PluginStartError,
)
from tests.support.dify.fake_plugin import write_plugin
from tests.support.waiting import eventually_async

SECRET = "a-long-enough-secret"


@pytest.fixture
def package(tmp_path: Path) -> PluginPackage:
    return load_package(write_plugin(tmp_path / "fake"))


@pytest.fixture
async def process(package: PluginPackage) -> AsyncGenerator[PluginProcess, None]:
    started = await PluginProcess.start(package, sys.executable)
    yield started
    await started.close()


async def ask(process: PluginProcess, action: str, **request: Any) -> list[dict[str, Any]]:
    """Return all messages of one session."""
    on_reverse = request.pop("on_reverse", None)
    session = process.invoke("tool", action, request, user_id="ann", on_reverse=on_reverse)
    async with aclosing(session) as messages:
        return [message async for message in messages]


async def test_gives_what_a_session_says_in_order(process: PluginProcess) -> None:
    items = [{"n": n} for n in range(50)]
    assert await ask(process, "echo", items=items) == items


async def test_sessions_run_beside_each_other(process: PluginProcess) -> None:
    asked = [ask(process, "echo", items=[{"n": n}]) for n in range(20)]
    assert await asyncio.gather(*asked) == [[{"n": n}] for n in range(20)]
    assert process.sessions == 0


async def test_noise_and_objects_on_one_line_lose_nothing(process: PluginProcess) -> None:
    """Fails without `_extract_objects`: the three messages share their lines with noise."""
    assert await ask(process, "noise") == [{"n": 1}, {"n": 2}, {"n": 3}]


async def test_a_message_over_the_bound_ends_its_session_alone(
    package: PluginPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hangs without `_take_oversized`."""
    monkeypatch.setattr("invokeq.dify.plugins.process.LineReader", partial(LineReader, 1_000_000))
    process = await PluginProcess.start(package, sys.executable)
    assert len(await ask(process, "huge", size=900_000)) == 1
    for size in (1_000_001, 9_000_000):
        with pytest.raises(PluginFailedError, match="too long"):
            await ask(process, "huge", size=size)
        assert await ask(process, "echo", items=[{"n": 1}]) == [{"n": 1}]
    await process.close()


async def test_an_error_of_the_plugin_is_typed(process: PluginProcess) -> None:
    with pytest.raises(PluginFailedError) as caught:
        await ask(process, "fail", message=f"no\n\n{SECRET}", credentials={"key": SECRET})
    error = caught.value
    assert (error.plugin, error.error_type, error.message) == ("acme/fake", "ValueError", "no ***")
    assert not process.ended


async def test_a_crash_ends_every_session_with_its_last_words(process: PluginProcess) -> None:
    """The secret shows without Redactor.add."""
    leaving = process.invoke("tool", "leave", {}, user_id="ann")
    await anext(leaving)
    with pytest.raises(PluginCrashedError, match="exit status 7") as caught:
        await ask(process, "crash", credentials={"key": SECRET})
    assert caught.value.stderr == "dying with ***"
    assert caught.value.retryable
    with pytest.raises(PluginCrashedError):
        await anext(leaving)
    assert process.ended
    assert "exit status 7" in str(await process.wait())
    with pytest.raises(PluginCrashedError):
        await ask(process, "echo", items=[])


async def test_what_was_said_before_a_crash_is_given(process: PluginProcess) -> None:
    session = process.invoke("tool", "crash", {"credentials": {"key": SECRET}}, user_id="ann")
    assert await anext(session) == {"n": 1}
    with pytest.raises(PluginCrashedError):
        await anext(session)


async def test_a_process_that_is_silent_for_too_long_is_ended(package: PluginPackage) -> None:
    """Hangs without `_watch`: the process is stopped, not dead."""
    process = await PluginProcess.start(package, sys.executable, heartbeat_timeout=0.5)
    with pytest.raises(PluginCrashedError, match=r"no output for 0\.5 s"):
        await ask(process, "freeze")
    await process.close()


async def test_closing_ends_open_sessions(process: PluginProcess) -> None:
    session = process.invoke("tool", "leave", {}, user_id="ann")
    await anext(session)
    await process.close()
    with pytest.raises(PluginCrashedError, match="the process was closed"):
        await anext(session)
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)


@pytest.mark.parametrize(
    ("how", "problem"),
    [
        ("fail", "exit status 1; last line of stderr: no such module: vendor"),
        ("mute", "no heartbeat within"),
    ],
)
async def test_a_plugin_that_does_not_come_up(
    package: PluginPackage, how: str, problem: str
) -> None:
    timeout = 30 if how == "fail" else 0.5
    with pytest.raises(PluginStartError, match=problem):
        await PluginProcess.start(
            package, sys.executable, env={"FAKE_START": how}, start_timeout=timeout
        )


async def test_an_interpreter_that_is_not_there(package: PluginPackage) -> None:
    with pytest.raises(PluginStartError, match="no-such-python"):
        await PluginProcess.start(package, "/no-such-python")


async def test_credentials_are_neither_arguments_nor_variables(
    package: PluginPackage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Fails when the process inherits the whole environment."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("VENDOR_API_KEY", SECRET)
    process = await PluginProcess.start(package, sys.executable, env={"MAX_REQUEST_TIMEOUT": "9"})
    (facts,) = await ask(process, "facts", credentials={"key": SECRET})
    with pytest.raises(PluginCrashedError):
        await ask(process, "crash", credentials={"key": SECRET})
    await process.close()
    assert SECRET not in str(facts)
    assert facts["env"]["MAX_REQUEST_TIMEOUT"] == "9"
    assert facts["env"]["INSTALL_METHOD"] == "local"
    assert "PATH" in facts["env"]
    assert "dying with ***" in caplog.text
    assert SECRET not in caplog.text


async def test_calls_of_the_plugin_are_answered(process: PluginProcess) -> None:
    asked: list[tuple[str, Mapping[str, Any]]] = []

    async def on_reverse(kind: str, request: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
        asked.append((kind, request))
        yield {"text": "a"}
        yield {"text": "b"}

    events = await ask(process, "reverse", on_reverse=on_reverse)
    assert asked == [("llm", {"model": "m", "stream": True})]
    assert [(e["event"], e["message"], e["data"]) for e in events] == [
        ("response", "stream", {"text": "a"}),
        ("response", "stream", {"text": "b"}),
        ("end", "", None),
    ]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (PermissionDeniedError(problem="you may not"), "you may not"),
        (RuntimeError(SECRET), "internal error: RuntimeError"),
    ],
)
async def test_a_call_that_fails_is_answered_with_its_text(
    process: PluginProcess, error: Exception, message: str
) -> None:
    async def on_reverse(kind: str, request: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
        yield {"kind": kind, **request}
        raise error

    *_, last = await ask(process, "reverse", on_reverse=on_reverse)
    assert (last["event"], last["message"]) == ("error", message)


async def test_without_anybody_to_answer_a_call_is_refused(process: PluginProcess) -> None:
    (event,) = await ask(process, "reverse")
    assert (event["event"], event["message"]) == (
        "error",
        "this plugin may make no calls here",
    )


async def test_a_closed_session_is_dropped_and_its_calls_refused(process: PluginProcess) -> None:
    """Hangs without `refusal`: the plugin waits for an answer for ever."""
    session = process.invoke("tool", "leave", {}, user_id="ann")
    await anext(session)
    await session.aclose()
    assert (process.sessions, process.stray) == (0, 1)
    (event,) = await ask(process, "call back")
    assert (event["event"], event["message"]) == ("error", "the session was closed")
    await eventually_async("the stray session is over", lambda: process.stray == 0)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux does it")
async def test_the_plugin_ends_with_a_process_that_is_killed(package: PluginPackage) -> None:
    """The plugin lives on without PR_SET_PDEATHSIG in launch.py."""
    script = (
        "import asyncio, os, signal, sys\n"
        "from invokeq.dify.plugins import PluginProcess, load_package\n"
        "async def main():\n"
        f"    package = load_package({str(package.directory)!r})\n"
        "    process = await PluginProcess.start(package, sys.executable)\n"
        "    print(process.pid, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())\n"
    )
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    pid = int(done.stdout)
    await eventually_async("the plugin has ended", lambda: not _lives(pid))


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def _can_unshare() -> bool:
    command = ["unshare", "--pid", "--fork", "true"]
    return (
        shutil.which("unshare") is not None
        and not subprocess.run(command, capture_output=True, check=False).returncode
    )


@pytest.mark.skipif(not _can_unshare(), reason="no right to make a process 1")
async def test_the_parent_of_a_plugin_is_never_process_1(package: PluginPackage) -> None:
    """The SDK then ends the process; fails without the fork in launch.py."""
    script = (
        "import asyncio, os, sys\n"
        "from invokeq.dify.plugins import PluginProcess, load_package\n"
        "async def main():\n"
        f"    package = load_package({str(package.directory)!r})\n"
        "    process = await PluginProcess.start(package, sys.executable)\n"
        "    async for facts in process.invoke('tool', 'facts', {}, user_id='a'):\n"
        "        print(os.getpid(), facts['parent'], flush=True)\n"
        "    await process.close()\n"
        "asyncio.run(main())\n"
    )
    done = await asyncio.to_thread(
        subprocess.run,
        ["unshare", "--pid", "--fork", sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
    )
    own, parent = map(int, done.stdout.split())
    assert own == 1
    assert parent > 1
