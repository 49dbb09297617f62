"""Dify's real SDK, bound to invokeq: requests, answers and errors of plugins."""

import json
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis

from invokeq.protocol.redis import keys
from tests.support.paths import ROOT
from tests.support.processes.asked_program import AskedProgram
from tests.support.processes.worker import WorkerProcess, running_worker
from tests.support.servers.leaked_keys import leaked_keys
from tests.support.servers.server import Server
from tests.support.waiting import eventually

PLUGIN = ROOT / "examples" / "dify_tool"
PROGRAM = "tests.integration.programs.dify_program"
END_SECONDS = 60.0

PICKED = {"provider": "langgenius/scripted/scripted", "model": "echo", "model_type": "llm"}
USAGE = {
    "prompt_tokens": 2,
    "prompt_unit_price": "1",
    "prompt_price_unit": "0.001",
    "prompt_price": "0.002",
    "completion_tokens": 3,
    "completion_unit_price": "2",
    "completion_price_unit": "0.001",
    "completion_price": "0.006",
    "total_tokens": 5,
    "total_price": "0.008",
    "currency": "EUR",
    "latency": 0.5,
}


@dataclass(frozen=True, slots=True)
class Program(AskedProgram):
    """The program with the SDK, the worker and Redis."""

    url: str
    worker: WorkerProcess
    client: redis.Redis

    def jobs(self) -> set[str]:
        """Return the request ids of all existing jobs."""
        prefix = keys.job("")
        return {_text(key).removeprefix(prefix) for key in self.client.keys(prefix + "*")}


def _text(key: bytes | str) -> str:
    return key.decode() if isinstance(key, bytes) else key


@contextmanager
def running_program(
    url: str, worker: WorkerProcess, client: redis.Redis
) -> Generator[Program, None, None]:
    process = subprocess.Popen(
        [sys.executable, "-m", PROGRAM, url],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Program(process, url, worker, client)
        process.communicate(timeout=END_SECONDS)
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def program(redis_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """One program, one worker and one database for all tests here."""
    redis_server.erase()
    with (
        redis_server.connect() as client,
        running_worker(redis_server.url, tmp_path_factory.mktemp("dify")) as worker,
        running_program(redis_server.url, worker, client) as program,
    ):
        yield program
        assert leaked_keys(client, keys.PERMANENT) == []


def test_a_stream_is_made_of_the_sdks_own_classes(program: Program) -> None:
    answer = program.ask("stream", text="one two three", params={})
    assert "".join(answer["texts"]) == "one two three"
    assert answer["indexes"] == list(range(len(answer["texts"])))
    assert answer["finish_reason"] == "stop"
    assert answer["models"] == ["echo"]
    assert answer["chunk_class"]
    assert answer["message_class"]
    assert answer["usage_class"]


def test_usage_and_prices_arrive_as_the_worker_reckoned_them(program: Program) -> None:
    usage = program.ask("stream", text="one two three", params={})["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (5, 3)
    assert (usage["total_tokens"], usage["currency"]) == (8, "USD")
    assert float(usage["total_price"]) == 0.000011


def test_a_whole_result_is_what_the_sdk_makes_of_the_chunks(program: Program) -> None:
    own, sdks = program.ask("whole", text="one two three", params={})
    assert own["message"]["content"] == "one two three"
    assert own == sdks


def chunk(content: object, *, calls: int = 0, usage: dict[str, Any] | None = None) -> Any:
    function = {"name": "look", "arguments": "{}"}
    made = [{"id": str(n), "type": "function", "function": function} for n in range(calls)]
    message = {"role": "assistant", "content": content, "tool_calls": made}
    delta = {"index": 0, "message": message, "usage": usage, "finish_reason": "stop"}
    return {"model": "another", "system_fingerprint": "fp", "delta": delta}


@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param([], id="nothing"),
        pytest.param([chunk("a"), chunk(None), chunk("b")], id="no content in between"),
        pytest.param([chunk("", calls=2), chunk("", calls=1), chunk("x")], id="last calls win"),
        pytest.param(
            [
                chunk("a", usage=USAGE),
                chunk("b", usage={**USAGE, "total_price": "7", "currency": "JPY", "latency": 2.0}),
            ],
            id="tokens add up and prices do not",
        ),
    ],
)
def test_results_accumulate_by_the_sdks_own_rules(program: Program, chunks: list[Any]) -> None:
    own, sdks = program.ask("accumulated", chunks=chunks)
    assert own == sdks
    assert own["model"] == "asked-for"


def test_results_keep_the_parts_that_the_sdk_leaves_out(program: Program) -> None:
    parts = [{"type": "text", "data": "kept"}]
    own, sdks = program.ask("accumulated", chunks=[chunk("a"), chunk(parts)])
    assert (own["message"]["content"], sdks["message"]["content"]) == ("akept", "a")
    del own["message"]["content"], sdks["message"]["content"]
    assert own == sdks


def test_the_value_of_a_model_selector_needs_no_mode(program: Program) -> None:
    assert program.ask("selector", value=PICKED, text="by dict") == "by dict"


def test_the_value_of_a_model_selector_may_have_more_than_is_needed(program: Program) -> None:
    value = {**PICKED, "mode": "chat", "completion_params": {"max_tokens": 1}, "label": "Echo"}
    assert program.ask("selector", value=value, text="by dict") == "by "


def test_messages_may_be_dicts(program: Program) -> None:
    messages = [{"role": "user", "content": [{"type": "text", "data": "parts"}]}]
    assert program.ask("plain_messages", messages=messages) == "parts"


def test_tools_are_called_and_their_answers_keep_their_role(program: Program) -> None:
    answer = program.ask("tools", model="tools")
    assert answer["text"] == ""
    assert answer["call_class"]
    (call,) = answer["calls"]
    assert call["function"]["name"] == "weather"
    assert json.loads(call["function"]["arguments"]) == {"city": "Oslo"}
    assert answer["told"] == "It rains."


def test_a_model_without_tool_calls_never_sees_the_tools(program: Program) -> None:
    before = program.jobs()
    assert program.ask("tools", model="no-tools")["text"] == "Rain in Oslo?"
    new = program.jobs() - before
    assert len(new) == 2
    assert {e for rid in new for e in program.worker.vendor_events(rid)} == {"started", "finished"}


def test_nothing_is_sent_before_the_first_chunk_is_wanted(program: Program) -> None:
    before = program.jobs()
    program.ask("start", name="lazy", params={})
    assert program.jobs() == before
    program.ask("close", name="lazy")
    assert program.jobs() == before
    program.ask("start", name="lazy", params={})
    assert program.ask("take", name="lazy") == "a "
    assert len(program.jobs() - before) == 1
    program.ask("close", name="lazy")


@pytest.mark.parametrize("how", ["close", "drop"])
def test_leaving_a_stream_closes_it_at_the_vendor(program: Program, how: str) -> None:
    before = program.jobs()
    program.ask("start", name=how, params={"hang_after": 1})
    assert program.ask("take", name=how) == "a "
    (request_id,) = program.jobs() - before
    program.ask(how, name=how)
    eventually(
        "the vendor's stream is closed",
        lambda: program.worker.vendor_events(request_id)[-1:] == ["closed"],
    )


def test_threads_share_a_session(program: Program) -> None:
    texts = [f"{n} is a number of its own" for n in range(8)]
    assert program.ask("together", texts=texts) == texts


def test_one_who_waits_holds_nobody_up(program: Program) -> None:
    before = program.jobs()
    assert program.ask("beside_a_silent_one", text="meanwhile") == "meanwhile"
    new = program.jobs() - before
    assert len(new) == 2
    eventually(
        "the greenlet that was killed has closed the vendor's stream",
        lambda: {"closed", "finished"} < {e for r in new for e in program.worker.vendor_events(r)},
    )


@pytest.mark.parametrize(
    ("operation", "arguments", "classes", "text"),
    [
        (
            "selector",
            {"value": {**PICKED, "provider": "acme"}, "text": "?"},
            {"ProviderNotFoundError", "RequestError"},
            "No provider is called 'acme'; there are: scripted",
        ),
        (
            "selector",
            {"value": {"model": "echo"}, "text": "?"},
            {"InvalidRequestError", "ValueError"},
            "model_config.provider: Field required",
        ),
        (
            "plain_messages",
            {"messages": [{"role": "nobody", "content": "?"}]},
            {"InvalidRequestError"},
            "prompt_messages[0].role: ",
        ),
        ("plain_messages", {"messages": ["?"]}, {"InvalidRequestError"}, "prompt_messages[0]: "),
        (
            "stream",
            {"text": "a b c", "params": {"fail_after": 1, "fail_with": "rate_limit"}},
            {"RateLimitedError", "UnavailableError"},
            "scripted limits the rate for echo: as planned, after 1 chunks",
        ),
        (
            "stream",
            {"text": "a", "params": {"max_tokens": 0}},
            {"InvalidParameterError"},
            "Model parameter max_tokens of scripted/echo ",
        ),
    ],
)
def test_failures_are_typed_errors_that_read_well(
    program: Program, operation: str, arguments: dict[str, Any], classes: set[str], text: str
) -> None:
    reply = program.send(operation, **arguments)
    assert classes | {"InvokeqError", "Exception"} <= set(reply["raised"])
    assert reply["text"].startswith(text)
    assert "\n" not in reply["text"]


def test_the_parts_of_model_have_the_sdks_own_signatures(program: Program) -> None:
    own, sdks = program.ask("signatures")
    assert len(own) == 10
    assert own == sdks


@pytest.mark.parametrize(
    "call",
    [
        "llm",
        "llm_structured_output",
        "moderation",
        "rerank",
        "speech2text",
        "summary",
        "text_embedding",
        "tts",
    ],
)
def test_the_parts_of_model_are_no_functions(program: Program, call: str) -> None:
    reply = program.send("call_it", call=call)
    assert reply["raised"][0] == "TypeError"
    assert reply["text"].endswith("Invocation' object is not callable")


def test_a_session_that_a_host_made_is_bound_in_place(program: Program) -> None:
    assert program.ask("bind_existing") == {"same": True, "storage": True, "answers": True}


def test_the_tool_of_the_example_streams_its_answer(program: Program) -> None:
    texts = program.ask("run_tool", name="llm", parameters={"prompt": "a b c", "model": PICKED})
    assert texts == ["a ", "b ", "c"]


def test_the_hand_built_config_of_the_example_names_the_local_model(program: Program) -> None:
    reply = program.send("run_tool", name="llm_fixed", parameters={"query": "a"})
    assert reply["text"] == "No provider is called 'local'; there are: scripted"


def test_the_sdk_reads_the_declarations_of_the_example(program: Program) -> None:
    picked = {"name": "model", "type": "model-selector", "scope": "llm", "required": True}
    prompt = {"name": "prompt", "type": "string", "scope": None, "required": True}
    assert program.ask("declared", name="llm") == [prompt, picked]
    assert program.ask("declared", name="llm_fixed") == [{**prompt, "name": "query"}]


def test_a_tool_that_does_not_exist_is_an_error_with_those_there_are(program: Program) -> None:
    reply = program.send("load", plugin=str(PLUGIN), name="nope")
    assert reply["raised"][0] == "InvalidConfigurationError"
    assert reply["text"].endswith("no tool is called 'nope'; there are: llm, llm_fixed")


def test_a_directory_that_is_no_plugin_is_an_error(program: Program, tmp_path: Path) -> None:
    reply = program.send("load", plugin=str(tmp_path), name="llm")
    assert reply["text"] == f"{tmp_path}/manifest.yaml: file: does not exist"
    (tmp_path / "manifest.yaml").write_text("type: plugin\n")
    reply = program.send("load", plugin=str(tmp_path), name="llm")
    assert reply["raised"][0] == "InvalidConfigurationError"
    assert "version: Field required" in reply["text"]
    assert "\n" not in reply["text"]


def test_ctrl_c_is_left_alone() -> None:
    script = """
import invokeq.dify, os, signal
from invokeq import Session
invokeq.dify.bind(Session("acme"))
os._exit(signal.getsignal(signal.SIGINT) is not signal.default_int_handler)
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=True)


def test_it_works_when_the_sdk_is_imported_late(program: Program) -> None:
    script = """
import sys, os
from invokeq import Session
from invokeq.dify import bind
with Session("acme", redis=sys.argv[1]) as session:
    config = {"provider": "scripted", "model": "echo"}
    messages = [{"role": "user", "content": "a"}]
    result = bind(session).model.llm.invoke(config, messages, stream=False)
    print(result.message.content)
    sys.stdout.flush()
    os._exit(0)
"""
    command = [sys.executable, "-c", script, program.url]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "a\n"
    assert "MonkeyPatchWarning" in done.stderr


def test_without_the_sdk_the_error_names_the_extra() -> None:
    script = """
import sys
sys.modules["dify_plugin"] = None
from invokeq.errors import MissingExtraError
try:
    from invokeq.dify import bind
except MissingExtraError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "invokeq.dify needs dify_plugin: pip install 'invokeq[dify]'\n"


def test_dify_could_start_the_plugin_of_the_example() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "main"],
        cwd=PLUGIN,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        manifest = json.loads(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()
    assert manifest["name"] == "ask_model"
    assert manifest["plugins"]["tools"] == ["provider/ask_model.yaml"]
    assert manifest["resource"]["permission"]["model"]["llm"] is True
