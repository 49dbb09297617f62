"""The client's commands, run as by people and scripts, against a real worker."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from rq.suspension import resume, suspend

from invokeq import Session
from invokeq.protocol.entities import LLMResult, LLMResultChunk
from tests.integration.conftest import stream_config, user
from tests.support.processes.worker import WorkerProcess
from tests.support.waiting import eventually

BOUND = 60.0
"""Seconds; far more than any command takes."""

NOBODY = "0" * 32
SUMMARY = re.compile(
    r"tokens: (?P<prompt>\d+) prompt, (?P<completion>\d+) completion; price: \S+ USD; "
    r"first chunk: \d+\.\d{3} s; total: \d+\.\d{3} s; chunks: (?P<chunks>\d+); "
    r"worker: (?P<worker>\S+); request: (?P<request>[0-9a-f]{32})\n"
)

Start = Callable[..., subprocess.Popen[str]]


def environment(url: str) -> dict[str, str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("INVOKEQ_")}
    return {**plain, "INVOKEQ_REDIS_URL": url, "NO_COLOR": "1", "TERM": "dumb"}


def run(url: str, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "invokeq.cli", *words],
        input=stdin,
        env=environment(url),
        capture_output=True,
        text=True,
        timeout=BOUND,
        check=False,
    )


def ok(url: str, *words: str, stdin: str = "") -> str:
    """Return the stdout of a command; fail on an error exit."""
    done = run(url, *words, stdin=stdin)
    assert done.returncode == 0, done.stderr
    return done.stdout


def ask(url: str, *words: str, stdin: str = "") -> str:
    return ok(url, "invoke", "llm", "-m", "scripted/echo", *words, stdin=stdin)


def start(url: str, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "invokeq.cli", *words],
        env=environment(url),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def start_hanging(url: str) -> subprocess.Popen[str]:
    """Ask for chunks of which the third never comes, and return once two have been shown."""
    words = ("-m", "scripted/stream", "-p", "chunk_size=5", "-p", "hang_after=2", "x")
    process = start(url, "invoke", "llm", *words)
    assert process.stdout is not None
    assert process.stdout.read(10) == "." * 10
    return process


def detached(url: str) -> str:
    """Start an endless invocation; return the request id."""
    words = ("-m", "scripted/stream", "-p", "hang_after=1", "--detach", "x")
    return ok(url, "invoke", "llm", *words).strip()


def vendor_saw(worker: WorkerProcess, request_id: str, event: str) -> None:
    eventually(f"the vendor notes {event}", lambda: event in worker.vendor_events(request_id))


def only_request(worker: WorkerProcess) -> str:
    (request_id,) = {line.split()[0] for line in worker.journal.read_text().splitlines()}
    return request_id


def test_the_answer_goes_to_stdout_and_what_it_took_to_stderr(
    redis_url: str, worker: WorkerProcess
) -> None:
    done = run(redis_url, "invoke", "llm", "-m", "scripted/echo", "Name three rivers")
    assert (done.returncode, done.stdout) == (0, "Name three rivers\n")
    summary = SUMMARY.fullmatch(done.stderr)
    assert summary is not None, done.stderr
    assert summary["worker"] == worker.name
    assert (summary["prompt"], summary["completion"], summary["chunks"]) == ("3", "3", "4")
    assert worker.vendor_events(summary["request"]) == ["started", "finished"]


def test_the_prompt_comes_from_stdin_when_there_is_no_argument(
    redis_url: str, worker: WorkerProcess
) -> None:
    assert ask(redis_url, stdin="zwölf Boxkämpfer\n") == "zwölf Boxkämpfer\n"
    assert ask(redis_url, "-", stdin="piped") == "piped\n"
    assert ask(redis_url, "given", stdin="piped") == "given\n"


def test_options_reach_the_model(redis_url: str, worker: WorkerProcess) -> None:
    assert ask(redis_url, "-p", "chunks=2", "one two three") == "one two \n"
    assert ask(redis_url, "-p", "text=not JSON", "x") == "not JSON\n"
    assert ask(redis_url, "--stop", "three", "--stop", "four", "one two three") == "one two \n"
    done = run(
        redis_url, "invoke", "llm", "-m", "scripted/echo", "--system", "Be very brief.", "Hi"
    )
    assert done.stderr.startswith("tokens: 4 prompt, 1 completion")


def test_json_is_one_chunk_a_line_or_the_whole_result(
    redis_url: str, worker: WorkerProcess
) -> None:
    lines = ask(redis_url, "--json", "one two").splitlines()
    chunks = [LLMResultChunk.model_validate_json(line) for line in lines]
    assert [chunk.delta.message.content for chunk in chunks] == ["one ", "two", ""]
    assert chunks[-1].delta.usage is not None
    whole = LLMResult.model_validate_json(ask(redis_url, "--json", "--no-stream", "one two"))
    assert whole.message.content == "one two"
    assert whole.usage.completion_tokens == 2
    assert ask(redis_url, "--no-stream", "one two") == "one two\n"


def test_a_request_id_that_is_known_attaches(redis_url: str, worker: WorkerProcess) -> None:
    words = ("--request-id", "a" * 32, "only once")
    assert ask(redis_url, *words) == "only once\n"
    assert ask(redis_url, *words) == "only once\n"
    assert worker.vendor_events("a" * 32) == ["started", "finished"]


def test_a_fault_after_some_chunks_leaves_them_and_ends_with_one_line(
    redis_url: str, worker: WorkerProcess
) -> None:
    words = ("-m", "scripted/echo", "-p", "fail_after=2", "one two three")
    done = run(redis_url, "invoke", "llm", *words)
    assert (done.returncode, done.stdout) == (1, "one two \n")
    line = r"error: scripted failed for echo: HTTP 500, .+ \[request [0-9a-f]{32}\]\n"
    assert re.fullmatch(line, done.stderr)


def test_ctrl_c_cancels_what_streams(redis_url: str, worker: WorkerProcess) -> None:
    process = start_hanging(redis_url)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=BOUND)
    assert (process.returncode, out) == (130, "\n")
    request_id = only_request(worker)
    assert err == f"cancelled: request {request_id}\n"
    vendor_saw(worker, request_id, "closed")


def test_a_reader_that_leaves_the_pipe_cancels_in_silence(
    redis_url: str, worker: WorkerProcess
) -> None:
    words = ("-m", "scripted/stream", "-p", "chunks=1000000", "-p", "rate=1000", "x")
    process = start(redis_url, "invoke", "llm", *words)
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.read(20) == "." * 20
    process.stdout.close()
    assert (process.wait(BOUND), process.stderr.read()) == (141, "")
    process.stderr.close()
    vendor_saw(worker, only_request(worker), "closed")


def test_a_full_disk_is_an_error(redis_url: str, worker: WorkerProcess) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "invokeq.cli", "invoke", "llm", "-m", "scripted/echo", "x"],
            env=environment(redis_url),
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=BOUND,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == b"error: [Errno 28] No space left on device\n"


def test_an_answer_cannot_steer_the_terminal(redis_url: str, worker: WorkerProcess) -> None:
    prompt = "\x1b]0;title\x07 red \x1b[31m\x9b31m end"
    master, slave = os.openpty()
    words = ["invoke", "llm", "-m", "scripted/echo", prompt]
    process = subprocess.Popen(
        [sys.executable, "-m", "invokeq.cli", *words],
        env=environment(redis_url),
        stdout=slave,
        stderr=subprocess.PIPE,
    )
    _, err = process.communicate(timeout=BOUND)
    os.close(slave)
    shown = os.read(master, 4096)
    os.close(master)
    assert (process.returncode, shown) == (0, b"]0;title red [31m31m end\r\n"), err
    assert ask(redis_url, prompt) == f"{prompt}\n"


def test_a_detached_invocation_is_read_by_attach(redis_url: str, worker: WorkerProcess) -> None:
    request_id = ask(redis_url, "--detach", "one two three").strip()
    assert ok(redis_url, "attach", request_id) == "one two three\n"
    assert ok(redis_url, "attach", request_id, "--after", "1-1") == "two three\n"
    done = run(redis_url, "attach", request_id, "--json")
    assert len(done.stdout.splitlines()) == 4
    assert done.stderr.startswith("tokens: 3 prompt, 3 completion; price: 0.000009 USD; chunks: 4")
    printed = ok(redis_url, "status", request_id)
    assert f"request id:  {request_id}\nstate:       done\nlane:        llm:cli\n" in printed


def test_leaving_an_attached_stream_does_not_stop_it(
    redis_url: str, worker: WorkerProcess, session: Session
) -> None:
    plan = stream_config(chunk_size=5, hang_after=2)
    with session.model.llm.submit(plan, user("x")) as invocation:
        process = start(redis_url, "attach", invocation.request_id)
        assert process.stdout is not None
        assert process.stdout.read(10) == "." * 10
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=BOUND)
        assert process.returncode == 130
        go_on = f"invokeq attach {invocation.request_id} --after 1-2"
        assert err == f"left; to go on: {go_on}\n"
        assert invocation.status().state == "running"


def test_status_shows_workers_lanes_and_what_runs(redis_url: str, worker: WorkerProcess) -> None:
    request_id = detached(redis_url)
    vendor_saw(worker, request_id, "started")
    printed = ok(redis_url, "status")
    assert re.search(
        rf"^{worker.name} +main +\S+ +{worker.pid} +1/500 +llm *$", printed, re.MULTILINE
    )
    assert re.search(r"^llm:cli +0 +- +1 +0 +1 *$", printed, re.MULTILINE)
    row = rf"^{request_id} +llm:cli +scripted/stream +{worker.name} +1 +[\d.]+ s *$"
    assert re.search(row, printed, re.MULTILINE)
    assert "Idle lanes: 1" in printed
    found = json.loads(ok(redis_url, "status", "--json"))
    assert [run["request_id"] for run in found["running"]] == [request_id]
    assert [lane["name"] for lane in found["lanes"]] == ["llm", "llm:cli"]
    one = json.loads(ok(redis_url, "status", request_id, "--json"))
    assert (one["state"], one["attempt"], one["worker"]) == ("running", 1, worker.name)


def test_status_shows_what_waits_and_that_workers_are_suspended(
    redis_url: str, redis_client: redis.Redis, worker: WorkerProcess
) -> None:
    suspend(redis_client)
    first, second = detached(redis_url), detached(redis_url)
    printed = ok(redis_url, "status")
    assert printed.startswith("Suspended: workers claim nothing until `rq resume`\n")
    assert re.search(r"^llm:cli +2 +[\d.]+ s +0 +0 +1 *$", printed, re.MULTILINE)
    assert "position:    1\n" in ok(redis_url, "status", second)
    assert ok(redis_url, "cancel", first) == f"{first}: cancelled before it ran\n"
    assert "position:    0\n" in ok(redis_url, "status", second)
    resume(redis_client)
    vendor_saw(worker, second, "started")
    assert worker.vendor_events(first) == []


def test_status_without_a_worker_says_how_to_start_one(redis_url: str) -> None:
    printed = ok(redis_url, "status")
    assert printed == "No worker is alive; start one with `invokeq worker --pool NAME`\n"


def test_cancel_stops_what_runs_and_says_when_there_is_nothing_to_stop(
    redis_url: str, worker: WorkerProcess
) -> None:
    request_id = detached(redis_url)
    vendor_saw(worker, request_id, "started")
    done = run(redis_url, "cancel", request_id, NOBODY)
    assert done.returncode == 1
    assert done.stdout == f"{request_id}: stopping; worker {worker.name} was told to end it\n"
    assert done.stderr.startswith(f"{NOBODY}: nothing to stop: it is not known")
    vendor_saw(worker, request_id, "closed")
    left = run(redis_url, "attach", request_id)
    assert left.returncode == 1
    assert left.stderr.startswith("error: The invocation was cancelled (operator)")
    again = run(redis_url, "cancel", request_id)
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr == f"{request_id}: nothing to stop: it is cancelled\n"


def test_models_are_those_of_live_workers(redis_url: str, worker: WorkerProcess) -> None:
    printed = ok(redis_url, "models")
    assert re.search(r"^scripted/echo +llm +1000000 +- +1 / 2 USD *$", printed, re.MULTILINE)
    assert re.search(
        r"^scripted/tools +llm +1000000 +tool-call, multi-tool-call", printed, re.MULTILINE
    )
    listed = json.loads(ok(redis_url, "models", "--type", "llm", "--json"))
    names = [facts["model"] for facts in listed]
    assert {"echo", "no-tools", "stream", "tools"} <= set(names)
    assert names == sorted(names)
    assert listed[0]["pricing"]["currency"] == "USD"
    done = run(redis_url, "models", "--type", "text2img")
    assert (done.returncode, done.stderr) == (1, "error: No live worker serves text2img models\n")


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("-m", "nobody/x", "hi"), "No provider is called 'nobody'; there are: scripted"),
        (("-m", "scripted/nope", "hi"), "Provider scripted has no llm model 'nope'; it has: echo"),
        (
            ("-m", "scripted/echo", "-p", "chunks=x", "hi"),
            "Model parameter chunks of scripted/echo",
        ),
        (("-m", "scripted/echo", "--deadline", "-1", "hi"), "deadline: must be more than 0"),
        (("-m", "scripted/echo", "--request-id", "7", "hi"), "request_id: must be 32 lower-case"),
        (("-m", "scripted/echo", "--plugin", "a b", "hi"), "plugin_id: must be 1 to 128 letters"),
        (
            ("-m", "scripted/stream", "-p", "hang_after=1", "--deadline", "0.5", "hi"),
            "The deadline passed",
        ),
    ],
)
def test_a_bad_request_ends_with_one_line(
    redis_url: str, worker: WorkerProcess, words: tuple[str, ...], problem: str
) -> None:
    done = run(redis_url, "invoke", "llm", *words)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {problem}")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        ("invoke", "llm", "-m", "scripted/echo", "hi"),
        ("attach", NOBODY),
        ("status",),
        ("status", NOBODY),
        ("cancel", NOBODY),
        ("models",),
    ],
)
def test_without_redis_every_command_says_so(words: tuple[str, ...]) -> None:
    done = run("redis://user:secret@localhost:1/0", *words)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: Redis at redis://localhost:1/0 cannot be reached")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("invoke", "llm", "-m", "scripted/echo", "hi"), "No live worker serves llm models"),
        (("models",), "No worker is alive; start one with"),
        (("attach", NOBODY), f"There is no result stream for request {NOBODY}"),
        (("status", NOBODY), f"There is no result stream for request {NOBODY}"),
    ],
)
def test_with_nobody_and_nothing_there_commands_end_at_once(
    redis_url: str, words: tuple[str, ...], problem: str
) -> None:
    done = run(redis_url, *words)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {problem}")
    assert done.stderr.count("\n") == 1
