"""`invokeq plugin run`: unmodified plugins as processes, with calls over the queue."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
import redis
from rq import Queue

from invokeq.protocol.codec import OrjsonSerializer
from invokeq.protocol.redis import keys
from tests.support.dify.plugins import PYTHONS
from tests.support.paths import PLUGINS
from tests.support.processes.worker import WorkerProcess, running_worker
from tests.support.waiting import eventually

TOOLBOX = PLUGINS / "toolbox"
AGENT = PLUGINS / "agent"
MODEL = "scripted/tools"


@dataclass(frozen=True, slots=True)
class Runner:
    """Runs `invokeq plugin run` with one interpreter for the plugins."""

    url: str
    python: str
    worker: WorkerProcess

    def command(self, *words: str, directory: Path = TOOLBOX) -> list[str]:
        head = [sys.executable, "-m", "invokeq.cli", "plugin", "run", str(directory)]
        return [*head, "--python", self.python, "--redis", self.url, *words]

    def run(self, *words: str, directory: Path = TOOLBOX) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            self.command(*words, directory=directory),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def messages(self, *words: str, directory: Path = TOOLBOX) -> list[dict[str, Any]]:
        """Run the command to success; return the messages."""
        ended = self.run(*words, "--json", directory=directory)
        assert ended.returncode == 0, ended.stderr
        return [json.loads(line) for line in ended.stdout.splitlines()]

    def failure(self, *words: str, directory: Path = TOOLBOX) -> str:
        """Run the command to failure; return the line of the reason, without the head."""
        ended = self.run(*words, directory=directory)
        assert (ended.returncode, ended.stdout) == (1, ""), ended.stderr
        last = ended.stderr.splitlines()[-1]
        assert last.startswith("error: ")
        return last.removeprefix("error: ")


@pytest.fixture
def worker(redis_url: str, tmp_path: Path) -> Iterator[WorkerProcess]:
    """A worker with the scripted vendor for all calls of the plugins."""
    with running_worker(redis_url, tmp_path, queues=("llm", "text-embedding", "tts")) as process:
        yield process


@pytest.fixture(params=PYTHONS, ids=lambda path: Path(str(path)).parents[1].name)
def runner(request: pytest.FixtureRequest, redis_url: str, worker: WorkerProcess) -> Runner:
    """The command with each interpreter with the SDK."""
    return Runner(redis_url, str(request.param), worker)


@pytest.fixture
def one_runner(redis_url: str, worker: WorkerProcess) -> Runner:
    """The command with the tests' interpreter only: for tests independent of the SDK's version."""
    return Runner(redis_url, sys.executable, worker)


def test_an_answer_comes_from_the_queue_under_the_name_of_the_plugin(
    runner: Runner, redis_client: redis.Redis
) -> None:
    words = ("--tool", "ask", "-p", "prompt=three small words", "-p", f"model={MODEL}")
    messages = runner.messages(*words)
    assert [message["message"]["text"] for message in messages] == ["three ", "small ", "words"]
    lane = Queue("llm:acme/toolbox", connection=redis_client, serializer=OrjsonSerializer)
    eventually("RQ's books are closed", lambda: len(lane.finished_job_registry) == 1)


def test_every_message_is_shown_for_people(one_runner: Runner, tmp_path: Path) -> None:
    files = tmp_path / "files"
    ended = one_runner.run("--tool", "say", "--output", str(files))
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == [
        "one line",
        "{",
        '  "answer": 42,',
        '  "list": [',
        "    1,",
        "    2.5,",
        "    null",
        "  ]",
        "}",
        "https://example.org/a",
        "https://example.org/i.png",
        'plain = {"a":1}',
        "streamed = first second",
        str(files / "up.png"),
        str(files / "file-2.txt"),
    ]
    assert (files / "up.png").read_bytes() == bytes(range(256)) * 100
    assert (files / "file-2.txt").read_bytes() == b""
    assert sorted(path.name for path in tmp_path.rglob("up.png")) == ["up.png"]
    log = [line for line in ended.stderr.splitlines() if line.startswith("log: ")]
    assert log == ["log: working (start)", "log: working (success)"]
    assert "messages: 12; calls: 0; " in ended.stderr


def test_parameters_and_credentials_arrive_by_their_types(runner: Runner, tmp_path: Path) -> None:
    document = tmp_path / "noté.txt"
    document.write_text("from a file")
    secrets = tmp_path / "secrets.env"
    secrets.write_text("# ours\napi_key=abc=def\n")
    (message,) = runner.messages(
        *("--tool", "shape", "-p", "text=5", "-p", "unit=yes", "-p", f"document={document}"),
        *("--param-json", "count=4.0", "--credentials", f"@{secrets}", "--user", "u-7"),
    )
    assert message["message"]["json_object"] == {
        "parameters": {
            "text": "5",
            "count": 4.0,
            "flag": False,
            "unit": "yes",
            "document": "from a file",
        },
        "user": "u-7",
        "credentials": {"api_key": "abc=def", "region": "eu"},
    }


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--tool", "sey"), "tool: none is called 'sey'; there are: ask, say, shape, call"),
        ((), "--tool or --strategy: is missing; tools: ask, say, shape, call; strategies: none"),
        (("--tool", "shape"), "parameter text: is required: what it is"),
        (("--tool", "shape", "-p", "text=a", "-p", "app=a"), "parameter app: selects an app"),
        (
            ("--tool", "ask", "-p", "prompt=a", "-p", "model=scripted/echo"),
            (
                "parameter model: 'scripted/echo' is outside the scope tool-call&llm;"
                " models of scope tool-call&llm: scripted/tools"
            ),
        ),
        (
            ("--tool", "ask", "-p", "prompt=a", "-p", "model=openai/gpt-4o"),
            "parameter model: 'openai/gpt-4o' is served by no live worker; models of scope",
        ),
        (
            ("--tool", "say", "--credentials", "api_key=wrong"),
            "Credentials of provider toolbox: the key is not one of ours",
        ),
        (
            ("--tool", "say", "--credentials", "region=mars"),
            "Credentials of provider toolbox: region: must be one of eu, us, not 'mars'",
        ),
        (
            ("--tool", "call", "-p", "what=raise"),
            "Plugin acme/toolbox failed with ValueError: it is broken by design",
        ),
        (
            ("--tool", "call", "-p", "what=crash"),
            "The process of plugin acme/toolbox ended: exit status 7",
        ),
    ],
)
def test_what_is_wrong_is_one_line(one_runner: Runner, words: tuple[str, ...], line: str) -> None:
    assert one_runner.failure(*words).startswith(line)


def test_the_last_words_of_a_plugin_are_shown(one_runner: Runner) -> None:
    ended = one_runner.run("--tool", "call", "-p", "what=crash")
    assert "last words" in ended.stderr.splitlines()


@pytest.mark.parametrize(
    ("what", "told"),
    [
        (
            "tts",
            "Exception: permission denied, you need to enable tts access in plugin manifest",
        ),
        (
            "app",
            "Exception: permission denied, you need to enable app access in plugin manifest",
        ),
        ("storage", "Exception: Calls of type 'storage' are not served by invokeq"),
        ("workflow", "Exception: tool_type: tools of type 'workflow' are not served by invokeq"),
        ("missing", "Exception: tool: no plugin here has nobody/nothing; there are: "),
        ("embed", "2"),
    ],
)
def test_the_plugin_is_told_what_is_not_served(runner: Runner, what: str, told: str) -> None:
    """The calls of `tts` succeed once `check_declared` is not called by the host."""
    (message,) = runner.messages("--tool", "call", "-p", f"what={what}")
    assert message["message"]["text"].startswith(told)


def test_a_tool_calls_other_tools_whose_files_come_whole(runner: Runner) -> None:
    shaped, *blobs = runner.messages("--tool", "call", "-p", "what=tool")
    values = {"text": "hi", "count": 3, "flag": False}
    assert shaped["message"]["json_object"]["parameters"] == values
    texts = [blob["message"]["text"] for blob in blobs]
    assert texts == ["blob of 25600; ", "blob of 0; "]


@pytest.mark.parametrize("named", [("--plugin-dir", str(TOOLBOX)), ()])
def test_an_agent_gets_tools_and_calls_them_as_processes(
    runner: Runner, named: tuple[str, ...]
) -> None:
    """Without --plugin-dir the tool is found in the plugin beside the agent's."""
    asked = json.dumps([{"name": "shape", "arguments": {"text": "from the model"}}])
    chosen = {"provider": "acme/toolbox/toolbox", "tool": "shape", "parameters": {"count": 4}}
    start, called, end = runner.messages(
        *("--strategy", "loop", "-p", "query=hi", "-p", f"model={MODEL}"),
        *("--param-json", f"model.tool_calls={json.dumps(asked)}"),
        *("--param-json", f"tools={json.dumps([chosen])}", *named),
        directory=AGENT,
    )
    assert start["message"]["data"] == {
        "tools": ["shape"],
        "features": [
            *("tool-call", "multi-tool-call", "stream-tool-call"),
            *("vision", "audio", "video", "document"),
        ],
        "history": [],
    }
    told = called["message"]["json_object"]["message"]["json_object"]
    assert told["parameters"] == {"text": "from the model", "count": 4, "flag": False}
    assert end["message"]["status"] == "success"


def test_an_agent_gets_all_tools_that_are_named(one_runner: Runner) -> None:
    start, *_ = one_runner.messages(
        *("-p", "query=hi", "-p", f"model={MODEL}", "--plugin-dir", str(TOOLBOX)),
        *("--param-json", 'model.tool_calls="[]"'),
        directory=AGENT,
    )
    assert start["message"]["data"]["tools"] == ["ask", "say", "shape", "call"]


def test_ctrl_c_cancels_the_call_and_ends_the_plugin(
    one_runner: Runner, redis_client: redis.Redis, tmp_path: Path
) -> None:
    words = ("--tool", "ask", "-p", "prompt=one two", "-p", f"model={MODEL}")
    # A name of its own, by which its process can be told from others.
    directory = Path(shutil.copytree(TOOLBOX, tmp_path / "mine"))
    command = one_runner.command(*words, "-p", "model.hang_after=1", directory=directory)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdout is not None
        assert os.read(process.stdout.fileno(), 100) == b"one "
        assert plugins_in(directory)
        os.killpg(process.pid, signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert told.decode().splitlines() == ["cancelled: ask of acme/toolbox"]
    assert not plugins_in(directory)
    (key,) = cast(list[bytes], redis_client.keys(keys.job("*")))
    rid = key.decode().removeprefix(keys.job(""))
    eventually("the vendor's call is over", lambda: one_runner.worker.vendor_events(rid)[-1:])
    eventually(
        "it is cancelled",
        lambda: redis_client.hget(keys.job(rid), "status") == b"canceled",
    )


def plugins_in(directory: Path) -> list[str]:
    """Return the ids of the processes with `directory` as working directory."""
    found: list[str] = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").resolve() == directory.resolve():
                found.append(process.name)
        except OSError:
            continue
    return found


def test_what_the_operator_denies_the_plugin_is_told(redis_url: str, tmp_path: Path) -> None:
    more = '[plugins."acme/toolbox"]\nmodels = ["scripted/other"]'
    with running_worker(redis_url, tmp_path, more=more) as worker:
        runner = Runner(redis_url, sys.executable, worker)
        said = runner.failure("--tool", "ask", "-p", "prompt=a", "-p", f"model={MODEL}")
    assert said == (
        "Plugin acme/toolbox failed with Exception: Plugin 'acme/toolbox' may not call"
        " scripted/tools; the operator allows it scripted/other"
    )


def test_without_a_worker_a_tool_that_needs_no_model_runs(redis_url: str) -> None:
    command = [sys.executable, "-m", "invokeq.cli", "plugin", "run", str(TOOLBOX)]
    command += ["--python", sys.executable, "--redis", "redis://127.0.0.1:1/0"]
    ended = subprocess.run(
        [*command, "--tool", "shape", "-p", "text=a"], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    picked = subprocess.run(
        [*command, "--tool", "ask", "-p", "prompt=a", "-p", f"model={MODEL}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (picked.returncode, picked.stdout) == (1, "")
    assert "127.0.0.1:1" in picked.stderr
