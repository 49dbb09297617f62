"""The gateway as Dify's real SDK sees it, in its install method serverless.

The program that has the SDK runs on the interpreter that `INVOKEQ_DIFY_PYTHON` names, or this one.
"""

import hashlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from invokeq.protocol.audio import MP3, recognise
from invokeq.protocol.redis import keys
from tests.support.paths import EXAMPLES, PROGRAMS
from tests.support.processes.asked_program import AskedProgram
from tests.support.processes.gateway import (
    KEY,
    TRANSACTION,
    Gateway,
    envelope,
    prompt,
    running_gateway,
)
from tests.support.processes.worker import WorkerProcess, running_worker
from tests.support.servers.leaked_keys import leaked_keys
from tests.support.servers.server import Server
from tests.support.waiting import eventually

PROGRAM = PROGRAMS / "serverless_program.py"
PLUGIN = EXAMPLES / "dify_tool"
PYTHON = os.environ.get("INVOKEQ_DIFY_PYTHON") or sys.executable
QUEUES = ("llm", "text-embedding", "rerank", "tts", "speech2text", "moderation")
LONG = "Once upon a time. " * 60


def entity(path: str, **fields: Any) -> dict[str, Any]:
    """Return a reference to an entity of the SDK: `module:Class` and the fields."""
    return {"entity": path, **fields}


def config(path: str, model: str, **fields: Any) -> dict[str, Any]:
    return entity(path, provider="scripted", model=model, **fields)


def llm(model: str = "echo", **params: Any) -> dict[str, Any]:
    return config(".llm:LLMModelConfig", model, mode="chat", completion_params=params)


def said(text: object) -> list[dict[str, Any]]:
    return [entity(".message:UserPromptMessage", content=text)]


@dataclass(frozen=True, slots=True)
class Plugin(AskedProgram):
    """The program with the SDK, and the gateway."""

    gateway: Gateway
    worker: WorkerProcess
    session_id: str

    def call(self, attribute: str, *, method: str = "invoke", **arguments: Any) -> Any:
        return self.ask(
            "call",
            session_id=self.session_id,
            attribute=attribute,
            method=method,
            arguments=arguments,
        )

    def fail(
        self, attribute: str, *, session_id: str | None = None, method: str = "invoke", **args: Any
    ) -> str:
        """Return the text of the SDK's plain Exception for a failing call."""
        reply = self.send(
            "call",
            session_id=session_id or self.session_id,
            attribute=attribute,
            method=method,
            arguments=args,
        )
        assert reply["raised"] == "Exception", reply
        return reply["text"]

    def events(self) -> list[str]:
        """The scripted vendor's journal of all calls."""
        if not self.worker.journal.exists():
            return []
        return self.worker.journal.read_text().splitlines()


@pytest.fixture(scope="module")
def plugin(redis_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plugin]:
    """One plugin program, one gateway and one worker for all tests here."""
    redis_server.erase()
    directory = tmp_path_factory.mktemp("gateway")
    with (
        redis_server.connect() as client,
        running_worker(
            redis_server.url,
            directory,
            queues=QUEUES,
            summary_model="scripted/echo",
            trusted=["gateway"],
        ) as worker,
        running_gateway(redis_server.url, directory, "--heartbeat", "0.2") as gateway,
        running_plugin(gateway, worker) as plugin,
    ):
        yield plugin
        assert leaked_keys(client, keys.PERMANENT) == []


@contextmanager
def running_plugin(gateway: Gateway, worker: WorkerProcess) -> Generator[Plugin]:
    process = subprocess.Popen(
        [PYTHON, str(PROGRAM), gateway.address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Plugin(process, gateway, worker, gateway.open_session())
    finally:
        process.kill()
        process.communicate()


def test_an_answer_streams(plugin: Plugin) -> None:
    chunks = plugin.call("llm", model_config=llm(), prompt_messages=said("one two three"))
    assert {kind for kind, _ in chunks} == {"LLMResultChunk"}
    assert len(chunks) > 2
    deltas = [value["delta"] for _, value in chunks]
    assert "".join(delta["message"]["content"] for delta in deltas) == "one two three"
    assert [delta["index"] for delta in deltas] == list(range(len(deltas)))
    assert deltas[-1]["finish_reason"] == "stop"
    assert deltas[-1]["usage"]["total_tokens"] > 0


def test_a_whole_answer_is_one_event(plugin: Plugin) -> None:
    kind, result = plugin.call(
        "llm", model_config=llm(), prompt_messages=said("one two"), stream=False
    )
    assert kind == "LLMResult"
    assert result["message"]["content"] == "one two"
    assert result["usage"]["total_tokens"] > 0
    lines = transaction(plugin, "llm", prompt("one two", stream=False))
    assert [line["data"]["event"] for line in lines] == ["response", "end"]
    assert lines[0]["data"]["data"]["delta"]["finish_reason"] == ""


def test_tools_are_called(plugin: Plugin) -> None:
    tool = entity(
        ".message:PromptMessageTool",
        name="weather",
        description="The weather of a city",
        parameters={"type": "object"},
    )
    model = llm("tools", tool_calls='[{"arguments": {"city": "Oslo"}}]')
    chunks = plugin.call("llm", model_config=model, prompt_messages=said("Rain?"), tools=[tool])
    calls = [c for _, value in chunks for c in value["delta"]["message"]["tool_calls"]]
    assert calls[0]["function"]["name"] == "weather"


def test_an_object_comes_in_the_last_chunk(plugin: Plugin) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    arguments: dict[str, Any] = {
        "model_config": llm("structured"),
        "prompt_messages": said("?"),
        "structured_output_schema": schema,
    }
    chunks = plugin.call("llm_structured_output", **arguments)
    assert [value["structured_output"] for _, value in chunks][-1] == {"a": "text"}
    kind, result = plugin.call("llm_structured_output", **arguments, stream=False)
    assert kind == "LLMResultWithStructuredOutput"
    assert result["structured_output"] == {"a": "text"}


def test_a_text_is_summarised_by_the_operators_model(plugin: Plugin) -> None:
    kind, summary = plugin.call("summary", text=LONG, instruction="")
    assert kind == "str"
    assert summary


def test_vectors(plugin: Plugin) -> None:
    model = config(".text_embedding:TextEmbeddingModelConfig", "hash")
    purposes = [entity(":EmbeddingInputType", value=value) for value in ("query", "document")]
    results = [
        plugin.call("text_embedding", model_config=model, texts=["one", "two"], input_type=purpose)
        for purpose in purposes
    ]
    assert [kind for kind, _ in results] == ["TextEmbeddingResult"] * 2
    query, document = [result["embeddings"] for _, result in results]
    assert [len(row) for row in query] == [8, 8]
    assert query != document


def test_vectors_of_pictures(plugin: Plugin) -> None:
    model = config(
        ".text_embedding:MultiModalEmbeddingModelConfig", "hash-vision", tenant_id="another"
    )
    picture = entity(".text_embedding:MultiModalContent", content="aGk=", content_type="image")
    kind, result = plugin.call(
        "text_embedding", method="invoke_multimodal", model_config=model, documents=[picture]
    )
    assert (kind, len(result["embeddings"])) == ("MultiModalEmbeddingResult", 1)


def test_ranked_documents(plugin: Plugin) -> None:
    model = config(".rerank:RerankModelConfig", "overlap", score_threshold=0.3, top_n=2)
    docs = ["rain", "a red cat", "a red fish"]
    kind, result = plugin.call("rerank", model_config=model, docs=docs, query="a red fish")
    assert kind == "RerankResult"
    assert [doc["index"] for doc in result["docs"]] == [2, 1]


def test_ranked_pictures_without_bounds(plugin: Plugin) -> None:
    model = config(".rerank:MultiModalRerankModelConfig", "overlap-vision")
    content = [
        entity(".text_embedding:MultiModalContent", content=text, content_type=kind)
        for kind, text in (("image", "aGk="), ("text", "rain"))
    ]
    kind, result = plugin.call(
        "rerank", method="invoke_multimodal", model_config=model, query=content[0], docs=content
    )
    assert (kind, len(result["docs"])) == ("MultiModalRerankResult", 2)


def test_speech_there_and_back(plugin: Plugin) -> None:
    voice = config(".tts:TTSModelConfig", "silence", voice="bob")
    text = "One fish. " * 40
    segments = plugin.call("tts", model_config=voice, content_text=text)
    assert len(segments) > 1
    audio = [bytes.fromhex(digits) for _, digits in segments]
    assert {recognise(segment) for segment in audio} == {MP3}
    ears = config(".speech2text:Speech2TextModelConfig", "tags")
    heard = plugin.call("speech2text", model_config=ears, file={"audio": b"".join(audio).hex()})
    assert heard[0] == "str"
    assert heard[1].split() == text.split()


def test_a_verdict(plugin: Plugin) -> None:
    judge = config(".moderation:ModerationModelConfig", "words")
    assert plugin.call("moderation", model_config=judge, text="hello") == ["bool", False]
    assert plugin.call("moderation", model_config=judge, text="we attack") == ["bool", True]


def test_a_body_of_ten_mebibytes_arrives_whole(plugin: Plugin) -> None:
    """Dify's daemon cuts at 6 MiB; the test fails with a bound of 6 MiB here."""
    model = config(".text_embedding:TextEmbeddingModelConfig", "hash")
    texts = [{"repeat": "word ", "times": 2048}] * 1024
    _, result = plugin.call("text_embedding", model_config=model, texts=texts)
    assert len(result["embeddings"]) == 1024


def test_leaving_early_ends_the_call_at_the_vendor(plugin: Plugin) -> None:
    """Without the watch on the client's connection the vendor would go on for ever."""
    before = len(plugin.events())
    plugin.ask(
        "begin",
        name="early",
        session_id=plugin.session_id,
        attribute="llm",
        arguments={"model_config": llm("stream", hang_after=1), "prompt_messages": said("a b c")},
    )
    plugin.ask("advance", name="early")
    assert [line.split()[1] for line in plugin.events()[before:]] == ["started"]
    plugin.ask("close", name="early")
    eventually("the vendor's call is closed", lambda: len(plugin.events()) == before + 2)
    assert plugin.events()[-1].split()[1] == "closed"
    left = "the gateway notes that the plugin left"
    eventually(left, lambda: plugin.gateway.lines("call finished")[-1]["outcome"] == "disconnected")


FAILURES: list[tuple[str, dict[str, Any], str]] = [
    (
        "llm",
        {"model_config": llm(fail_after=0, fail_with="rate_limit", retry_after=2)},
        "scripted limits the rate for echo: ",
    ),
    (
        "llm",
        {"model_config": {**llm(), "model": "nope"}},
        "Provider scripted has no llm model 'nope'; it has: ",
    ),
    ("llm", {"model_config": {**llm(), "provider": "acme"}}, "No provider is called 'acme'"),
    ("llm", {"model_config": {**llm(), "provider": ""}}, "provider: is missing or empty ["),
    ("llm", {"model_config": llm("stream", temperature=9)}, "Model parameter temperature of "),
    (
        "tts",
        {
            "model_config": config(".tts:TTSModelConfig", "silence", voice="eve"),
            "content_text": "a",
        },
        "voice: ",
    ),
    (
        "speech2text",
        {
            "model_config": config(".speech2text:Speech2TextModelConfig", "tags"),
            "file": {"audio": "00"},
        },
        "file: is no audio that is known here: ",
    ),
    (
        "moderation",
        {"model_config": config(".moderation:ModerationModelConfig", "words"), "text": ""},
        "text: is missing or empty",
    ),
    (
        "rerank",
        {
            "model_config": config(
                ".rerank:RerankModelConfig", "overlap", score_threshold=0.0, top_n=0
            ),
            "docs": ["a"],
            "query": "q",
        },
        "top_n: must be at least 1, or None",
    ),
]


@pytest.mark.parametrize(("attribute", "arguments", "text"), FAILURES)
def test_a_fault_reaches_the_plugin_in_words(
    plugin: Plugin, attribute: str, arguments: dict[str, Any], text: str
) -> None:
    given: dict[str, Any] = {"prompt_messages": said("x")} if attribute == "llm" else {}
    told = plugin.fail(attribute, **given, **arguments)
    assert told.startswith(text)
    assert "\n" not in told
    assert told.endswith("]")  # with its code


def test_an_error_names_its_code_and_the_request(plugin: Plugin) -> None:
    model = llm(fail_after=0, fail_with="rate_limit", retry_after=2)
    lines = transaction(
        plugin, "llm", {**prompt("x"), "completion_params": model["completion_params"]}
    )
    assert [line["data"]["event"] for line in lines] == ["error", "end"]
    message, data = lines[0]["data"]["message"], lines[0]["data"]["data"]
    request_id = data["args"]["request_id"]
    assert message.endswith(f"[rate_limited, retry after 2 s, request {request_id}]")
    assert data["error_type"] == "InvokeRateLimitError"
    assert data["args"]["code"] == "rate_limited"
    assert data["args"]["retryable"] is True


def test_a_session_that_is_not_open_is_an_error_that_can_be_shown(plugin: Plugin) -> None:
    """Of Dify's own daemon the SDK makes `KeyError('session_id')` here."""
    for session_id in ("never-opened-session", "0"):
        told = plugin.fail(
            "llm", session_id=session_id, model_config=llm(), prompt_messages=said("x")
        )
        assert told.startswith("The session of this plugin process is not open: ")
        assert told.endswith("[unknown_session]")


def test_a_refused_body_is_read_to_its_end(plugin: Plugin) -> None:
    """Cut off while it writes, a client does not come to read the answer."""
    large = b" " * (32 << 20)
    status, lines = posted(plugin, large, "never-opened-session")
    assert status == 400
    assert lines[0]["data"]["message"].endswith("[unknown_session]")
    assert plugin.gateway.ask("POST", "/sessions", large)[0] == 401
    headers = {"Authorization": f"Bearer {KEY}"}
    assert plugin.gateway.ask("POST", "/sessions", large, headers)[0] == 400
    assert plugin.gateway.ask("POST", "/inner/api/invoke/llm", large)[0] == 404
    endpoints = [line["endpoint"] for line in plugin.gateway.lines("request refused")]
    assert endpoints[-3:] == ["transaction", "sessions", "inner"]


def test_a_closed_session_ends_at_once(plugin: Plugin) -> None:
    own = plugin.gateway.open_session(session_id="a-session-of-our-own")
    assert own == "a-session-of-our-own"
    headers = {"Authorization": f"Bearer {KEY}", "Dify-Plugin-Session-ID": own}
    asked: dict[str, Any] = {"model_config": llm(), "prompt_messages": said("x")}
    assert plugin.ask("call", session_id=own, attribute="llm", arguments=asked)
    assert plugin.gateway.ask("DELETE", "/sessions", headers=headers)[0] == 204
    assert plugin.gateway.ask("DELETE", "/sessions", headers=headers)[0] == 404
    assert "was closed" in plugin.fail("llm", session_id=own, **asked)


def test_a_session_is_kept_for_its_time_under_a_digest(
    plugin: Plugin, redis_server: Server
) -> None:
    own = plugin.gateway.open_session(ttl=1234)
    with redis_server.connect() as client:
        digest = hashlib.sha256(own.encode()).hexdigest()
        assert 1200 < int(client.ttl(keys.plugin_session(digest))) <= 1234
        assert leaked_keys(client, keys.PERMANENT) == []


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({}, "plugin_id"),
        ({"plugin_id": "a b"}, "plugin_id"),
        ({"plugin_id": "a", "session_id": "short"}, "session_id"),
        ({"plugin_id": "a", "session_id": "with a blank in it"}, "session_id"),
        ({"plugin_id": "a", "ttl": 0}, "ttl"),
        ({"plugin_id": "a", "nonsense": 1}, "nonsense"),
        ([], "body"),
    ],
)
def test_a_session_with_mistakes_is_not_opened(plugin: Plugin, body: object, problem: str) -> None:
    status, reply = plugin.gateway.ask(
        "POST", "/sessions", body, {"Authorization": f"Bearer {KEY}"}
    )
    assert status == 400
    assert json.loads(reply)["error"]["message"].startswith(problem)


@pytest.mark.parametrize("value", ["", "Bearer", "Bearer wrong", f"Basic {KEY}", KEY])
def test_without_the_key_nobody_opens_sessions(plugin: Plugin, value: str) -> None:
    for method in ("POST", "DELETE"):
        headers = {"Authorization": value, "Dify-Plugin-Session-ID": plugin.session_id}
        status, reply = plugin.gateway.ask(method, "/sessions", {"plugin_id": "a"}, headers)
        assert status == 401
        assert KEY.encode() not in reply
    assert plugin.call("llm", model_config=llm(), prompt_messages=said("still there"))


def transaction(plugin: Plugin, kind: str, request: object) -> list[dict[str, Any]]:
    """Send the envelope as the SDK does; gives the lines of the answer."""
    body = json.dumps(envelope(plugin.session_id, kind, request)).encode() + b"\n\n"
    return posted(plugin, body)[1]


def posted(
    plugin: Plugin, body: bytes, session_id: str | None = None
) -> tuple[int, list[dict[str, Any]]]:
    headers = {"Dify-Plugin-Session-ID": session_id or plugin.session_id}
    status, reply = plugin.gateway.ask("POST", TRANSACTION, body, headers)
    return status, [json.loads(line) for line in reply.splitlines() if line]


def test_the_lines_of_an_answer_are_those_of_the_daemon(plugin: Plugin) -> None:
    lines = transaction(plugin, "moderation", moderation())
    inner = {"backwards_request_id": "ab" * 16}
    outer = {"session_id": plugin.session_id, "event": "backwards_response"}
    verdict = {**inner, "event": "response", "message": "struct", "data": {"result": False}}
    end = {**inner, "event": "end", "message": "", "data": None}
    assert lines == [{**outer, "data": verdict}, {**outer, "data": end}]


def moderation() -> dict[str, Any]:
    return {"provider": "scripted", "model": "words", "model_type": "moderation", "text": "hi"}


def test_chunks_have_what_old_sdks_need(plugin: Plugin) -> None:
    for line in transaction(plugin, "llm", prompt("a b"))[:-1]:
        assert line["data"]["message"] == "stream"
        chunk = line["data"]["data"]
        assert chunk["prompt_messages"] == []
        assert chunk["delta"]["message"]["tool_calls"] == []


def test_the_session_says_who_asks_whatever_the_payload_says(plugin: Plugin) -> None:
    transaction(plugin, "moderation", {**moderation(), "tenant_id": "other", "user_id": "other"})
    line = plugin.gateway.lines("call finished")[-1]
    assert (line["plugin"], line["tenant"], line["user"]) == ("acme", "tenant-1", "user-1")


@pytest.mark.parametrize(
    "kind", ["tool", "app", "storage", "upload_file", "fetch_app", "node_parameter_extractor"]
)
def test_what_is_no_model_is_refused_by_its_name(plugin: Plugin, kind: str) -> None:
    lines = transaction(plugin, kind, {})
    assert [line["data"]["event"] for line in lines] == ["error", "end"]
    assert lines[0]["data"]["message"].startswith(f"Calls of type '{kind}' are not served")


def test_the_sdks_storage_says_what_is_not_served(plugin: Plugin) -> None:
    reply = plugin.send("store", session_id=plugin.session_id)
    assert reply["text"].startswith("Calls of type 'storage' are not served by invokeq")


MALFORMED: list[tuple[bytes, str]] = [
    (b"", "body: is not JSON"),
    (b"[]", "body: must be a JSON object"),
    (b'{"session_id": "another-session-id"}', "session_id: is not the session of the header"),
    (b'{"session_id": "SID"}', "data: must be an object"),
    (b'{"session_id": "SID", "data": {"type": "stream"}}', "data.type: must be invoke"),
    (b'{"session_id": "SID", "data": {"type": "invoke", "data": {}}}', "data.data.type: must be"),
    (
        (
            b'{"session_id": "SID", "data": {"type": "invoke", "data":'
            b' {"type": "llm", "backwards_request_id": "a", "request": []}}}'
        ),
        "data.data.request: must be an object",
    ),
]


@pytest.mark.parametrize(("body", "text"), MALFORMED)
def test_a_malformed_envelope_is_an_error_that_can_be_shown(
    plugin: Plugin, body: bytes, text: str
) -> None:
    status, lines = posted(plugin, body.replace(b"SID", plugin.session_id.encode()))
    assert status == 400
    assert [line["data"]["event"] for line in lines] == ["error", "end"]
    assert lines[0]["data"]["message"].startswith(text)


BROKEN: list[tuple[str, dict[str, Any], str]] = [
    ("llm", {"prompt_messages": None}, "prompt_messages: is missing"),
    ("llm", {"prompt_messages": [{"role": "nobody"}]}, "prompt_messages[0]."),
    ("llm", {"stream": "true"}, "stream: must be true or false"),
    ("llm", {"completion_params": []}, "completion_params: must be an object"),
    ("llm", {"model": 5}, "model: must be a text, not int"),
    ("llm", {"tool_choice": {"mode": "required"}}, "tool_choice: must be auto or none"),
    ("tts", {"content_text": None}, "content_text: is missing"),
    ("speech2text", {"file": "abc"}, "file: is not hexadecimal"),
    ("speech2text", {"file": ""}, "file: is missing or empty"),
    ("text_embedding", {"texts": None}, "texts: is missing"),
    ("text_embedding", {"texts": ["a"], "input_type": "other"}, "input_type: must be one of"),
    ("rerank", {"docs": ["a"], "query": "q", "top_n": "many"}, "top_n: "),
    ("llm_structured_output", {}, "structured_output_schema: is missing"),
    ("system_summary", {"text": "a", "instruction": 5}, "instruction: must be a text"),
    ("nonsense", {}, "type: no kind of call is named 'nonsense'; there are: llm, "),
]


@pytest.mark.parametrize(("kind", "fields", "text"), BROKEN)
def test_a_broken_request_is_an_error_that_names_its_field(
    plugin: Plugin, kind: str, fields: dict[str, Any], text: str
) -> None:
    lines = transaction(plugin, kind, {**prompt("x"), **fields})
    assert [line["data"]["event"] for line in lines] == ["error", "end"]
    assert lines[0]["data"]["message"].startswith(text)


def test_silence_is_filled_with_blank_lines(plugin: Plugin) -> None:
    """Every 0.2 s here; the test waits for ever when the gateway sends none."""
    params = {"hang_after": 1, "chunks": 3}
    request = prompt("x", model="stream", completion_params=params)
    body = json.dumps(envelope(plugin.session_id, "llm", request)).encode()
    with socket.create_connection(("127.0.0.1", plugin.gateway.port), timeout=60) as raw:
        head = f"POST {TRANSACTION} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
        raw.sendall(f"{head}Dify-Plugin-Session-ID: {plugin.session_id}\r\n\r\n".encode() + body)
        with raw.makefile("rb") as lines:
            beats = 0
            while beats < 3:
                line = lines.readline()
                assert line
                beats += line == b"\n"
    eventually("the call is cancelled", lambda: plugin.events()[-1].endswith(" closed"))


def test_a_body_over_the_bound_is_an_error_that_can_be_shown(
    plugin: Plugin, redis_server: Server, tmp_path: Path
) -> None:
    with running_gateway(redis_server.url, tmp_path, "--max-body-mb", "1") as small:
        model = config(".text_embedding:TextEmbeddingModelConfig", "hash")
        reply = plugin.send(
            "call",
            session_id=plugin.session_id,  # which all gateways know
            daemon=f"{small.address}/",
            attribute="text_embedding",
            arguments={"model_config": model, "texts": [{"repeat": "word ", "times": 1 << 20}]},
        )
    assert reply["text"].startswith("body is over 1048576 bytes; the limit is 1048576. Send less")


def test_an_unmodified_plugin_process_works(plugin: Plugin) -> None:
    """The example plugin, started as by Dify for serverless, asked over HTTP by the host."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    env = {
        **os.environ,
        "INSTALL_METHOD": "serverless",
        "SERVERLESS_HOST": "127.0.0.1",
        "SERVERLESS_PORT": str(port),
        "DIFY_PLUGIN_DAEMON_URL": plugin.gateway.address,
    }
    process = subprocess.Popen([PYTHON, "-W", "ignore", "-m", "main"], cwd=PLUGIN, env=env)
    try:
        eventually("the plugin listens", lambda: listens(port), within=60)
        picked = {"provider": "langgenius/scripted/scripted", "model": "echo", "model_type": "llm"}
        picked |= {"mode": "chat", "completion_params": {}}
        asked = {
            "type": "tool",
            "action": "invoke_tool",
            "user_id": "user-1",
            "provider": "ask_model",
            "tool": "llm",
            "credentials": {},
            "tool_parameters": {"prompt": "over three hops", "model": picked},
        }
        body = {"event": "request", "session_id": plugin.session_id, "data": asked}
        request = Request(
            f"http://127.0.0.1:{port}/invoke",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urlopen(request, timeout=60) as response:
            said = [json.loads(line) for line in response.read().splitlines() if line]
        texts = [
            message["data"]["data"]["message"]["text"]
            for message in said
            if message["event"] == "session" and message["data"]["type"] == "stream"
        ]
        assert "".join(texts) == "over three hops"
    finally:
        process.kill()
        process.wait()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_the_log_has_neither_keys_nor_sessions_nor_prompts(plugin: Plugin) -> None:
    plugin.call("llm", model_config=llm(), prompt_messages=said("a-secret-prompt"))
    plugin.fail("llm", session_id="an-unknown-session-id", model_config=llm(), prompt_messages=[])
    eventually("it is in the log", lambda: plugin.gateway.lines("call finished"))
    log = plugin.gateway.log.read_text()
    for secret in (KEY, plugin.session_id, "a-secret-prompt", "an-unknown-session-id"):
        assert secret not in log
    line = plugin.gateway.lines("call finished")[-1]
    assert {"endpoint", "kind", "plugin", "tenant", "user", "outcome", "pieces", "ms"} <= set(line)
