"""The gateway from the view of Dify's plugin daemon: requests and answers in the daemon's form."""

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from invokeq.protocol.redis import keys
from tests.support.dify.daemon import (
    ask,
    body,
    check_usage,
    chunks,
    frames,
    go_json,
    llm_body,
    message,
    posted,
    stream,
)
from tests.support.processes.gateway import INNER_KEY, Gateway, running_gateway
from tests.support.processes.worker import WorkerProcess, running_worker
from tests.support.servers.leaked_keys import leaked_keys
from tests.support.servers.server import Server
from tests.support.waiting import eventually

QUEUES = ("llm", "text-embedding", "rerank", "tts", "speech2text", "moderation")


@dataclass(frozen=True, slots=True)
class Platform:
    """A gateway as the platform of a daemon, and the worker behind the gateway."""

    gateway: Gateway
    worker: WorkerProcess

    def events(self) -> list[str]:
        """The scripted vendor's journal of all calls."""
        return self.worker.journal.read_text().splitlines() if self.worker.journal.exists() else []


@pytest.fixture(scope="module")
def platform(redis_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """One gateway, without a setting of trust: the gateway sends in its own name."""
    redis_server.erase()
    directory = tmp_path_factory.mktemp("inner")
    with (
        redis_server.connect() as client,
        running_worker(
            redis_server.url, directory, queues=QUEUES, summary_model="scripted/echo"
        ) as worker,
        running_gateway(redis_server.url, directory) as gateway,
    ):
        yield Platform(gateway, worker)
        assert leaked_keys(client, keys.PERMANENT) == []


def text_of(values: list[dict[str, Any]]) -> str:
    return "".join(value["delta"]["message"]["content"] for value in values)


def test_an_answer_is_framed_chunk_by_chunk(platform: Platform) -> None:
    found = chunks(stream(platform.gateway, "invoke/llm", llm_body()))
    assert text_of(found) == "one two three"
    assert len(found) > 2
    assert [chunk["prompt_messages"] for chunk in found] == [[]] * len(found)
    assert found[-1]["delta"]["finish_reason"] == "stop"
    assert found[-1]["delta"]["usage"]["total_tokens"] > 0


def test_the_bytes_of_a_frame(platform: Platform) -> None:
    with posted(platform.gateway, "invoke/llm", llm_body()) as answer:
        assert answer.response.getheader("Content-Encoding") is None
        assert answer.response.getheader("Transfer-Encoding") == "chunked"
        whole = answer.response.read()
    (size,) = struct.unpack_from("<I", whole, 4)
    assert whole[:14] == b"\x0f\x00\x0a\x00" + struct.pack("<I", size) + bytes(6)
    assert json.loads(whole[14 : 14 + size])["error"] == ""


def test_a_whole_answer_is_one_frame(platform: Platform) -> None:
    (chunk,) = chunks(stream(platform.gateway, "invoke/llm", llm_body(stream=False)))
    assert text_of([chunk]) == "one two three"
    assert chunk["delta"]["index"] == 0
    assert chunk["delta"]["finish_reason"] == ""


def test_what_go_writes_for_nothing_is_nothing(platform: Platform) -> None:
    """`tool_calls: null` and `name: ""` in every message; with them kept, an assistant's message
    is refused."""
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    conversation = [
        message("system", "Be brief."),
        message("user", [{"type": "text", "data": "a & b <c>", "opaque_body": None}]),
        message("assistant", "", tool_calls=[call]),
        message("tool", "done", tool_call_id="1"),
        message("assistant", "thanks"),
        message("user", "last words"),
    ]
    sent = llm_body(
        prompt_messages=conversation, completion_params=None, tools=[], stop=[], user_id=""
    )
    found = chunks(stream(platform.gateway, "invoke/llm", sent))
    assert text_of(found) == "last words"
    assert "user" not in platform.gateway.lines("call finished")[-1]


def test_tool_calls_are_lists_in_every_chunk(platform: Platform) -> None:
    tool = {"name": "weather", "description": "", "parameters": {"type": "object"}}
    params = {"tool_calls": '[{"arguments": {"city": "Oslo"}}]'}
    sent = llm_body(model="tools", tools=[tool], completion_params=params)
    found = chunks(stream(platform.gateway, "invoke/llm", sent))
    calls = [call for chunk in found for call in chunk["delta"]["message"]["tool_calls"]]
    assert calls[0]["function"]["name"] == "weather"


def test_an_object_is_in_the_last_frame(platform: Platform) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    path = "invoke/llm/structured-output"
    sent = llm_body(model="structured", structured_output_schema=schema)
    found = chunks(stream(platform.gateway, path, sent))
    assert [chunk["structured_output"] for chunk in found][-2:] == [None, {"a": "text"}]
    (chunk,) = chunks(stream(platform.gateway, path, {**sent, "stream": False}))
    assert chunk["structured_output"] == {"a": "text"}


def test_speech_is_framed_segment_by_segment(platform: Platform) -> None:
    text = "One fish. " * 40
    sent = body("tts", "silence", content_text=text, voice="bob")
    values = stream(platform.gateway, "invoke/tts", sent)
    assert len(values) > 1
    assert {value["data"]["mime_type"] for value in values} == {"audio/mpeg"}
    digits = "".join(value["data"]["result"] for value in values)
    assert digits == digits.lower()
    heard = ask(platform.gateway, "invoke/speech2text", body("speech2text", "tags", file=digits))
    assert heard["error"] == ""
    assert heard["data"]["result"].split() == text.split()


def test_vectors(platform: Platform) -> None:
    sent = body("text_embedding", "hash", texts=["one", "two"], input_type="query")
    value = ask(platform.gateway, "invoke/text-embedding", sent)
    assert value["error"] == ""
    assert [len(row) for row in value["data"]["embeddings"]] == [8, 8]
    check_usage(value["data"]["usage"], "embedding")
    other = ask(platform.gateway, "invoke/text-embedding", {**sent, "input_type": "document"})
    assert other["data"]["embeddings"] != value["data"]["embeddings"]


def test_vectors_of_pictures(platform: Platform) -> None:
    documents = [{"content": "aGk=", "content_type": "image"}]
    sent = body("multimodal_embedding", "hash-vision", documents=documents, input_type="query")
    value = ask(platform.gateway, "invoke/multimodal-embedding", sent)
    assert len(value["data"]["embeddings"]) == 1


def rerank(**fields: Any) -> dict[str, Any]:
    docs = ["rain", "a red cat", "a red fish"]
    bounds = {"score_threshold": 0.3, "top_n": 1}
    return body("rerank", "overlap", query="a red fish", docs=docs, **{**bounds, **fields})


def test_ranked_documents(platform: Platform) -> None:
    value = ask(platform.gateway, "invoke/rerank", rerank())
    assert [doc["index"] for doc in value["data"]["docs"]] == [2]
    assert all(doc[field] is not None for doc in value["data"]["docs"] for field in doc)
    assert set(value["data"]["docs"][0]) >= {"index", "text", "score"}


def test_a_top_n_of_nought_was_none(platform: Platform) -> None:
    """Without that the call is refused, as 0 is no bound."""
    value = ask(platform.gateway, "invoke/rerank", rerank(top_n=0, score_threshold=0))
    assert len(value["data"]["docs"]) == 3
    pictures = [{"content": "aGk=", "content_type": "image"}] * 2
    fields = {"query": pictures[0], "docs": pictures, "score_threshold": 0, "top_n": 0}
    sent = body("multimodal_rerank", "overlap-vision", **fields)
    assert len(ask(platform.gateway, "invoke/multimodal-rerank", sent)["data"]["docs"]) == 2


def test_a_verdict(platform: Platform) -> None:
    for text, flagged in (("hello", False), ("we attack", True)):
        sent = body("moderation", "words", text=text)
        value = ask(platform.gateway, "invoke/moderation", sent)
        assert value == {"data": {"result": flagged}, "error": ""}


def test_a_summary_is_made_however_short_the_text(platform: Platform) -> None:
    sent = {"tenant_id": "t", "user_id": "u", "type": "system_summary", "text": "short"}
    value = ask(platform.gateway, "invoke/summary", {**sent, "instruction": ""})
    assert value["error"] == ""
    assert value["data"]["summary"]


def test_a_fault_before_the_first_chunk_is_a_frame(platform: Platform) -> None:
    """The daemon would show another status as text around our JSON."""
    sent = llm_body(completion_params={"fail_after": 0, "fail_with": "rate_limit"})
    (value,) = stream(platform.gateway, "invoke/llm", sent)
    assert value["data"] is None
    assert value["error"].startswith("scripted limits the rate for echo: ")


def test_a_fault_in_the_middle_is_the_last_frame(platform: Platform) -> None:
    sent = llm_body(model="stream", completion_params={"chunks": 9, "fail_after": 2})
    *before, value = stream(platform.gateway, "invoke/llm", sent)
    assert len(chunks(before)) == 2
    assert value["error"].startswith("scripted failed for stream: ")


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("invoke/moderation", {"text": ""}, "text: is missing or empty"),
    ("invoke/moderation", {"model": "nope", "text": "a"}, "Provider scripted has no moderation"),
    ("invoke/rerank", {"docs": None, "query": "a"}, "docs: is missing"),
    ("invoke/speech2text", {"file": "zz"}, "file: is not hexadecimal"),
    ("invoke/text-embedding", {"texts": ["a"], "input_type": "x"}, "input_type: must be one of"),
    ("invoke/moderation", {"text": "a", "tenant_id": ""}, "tenant_id: must be a text, not empty"),
    ("invoke/moderation", {"text": "a", "user_id": 7}, "user_id: must be a text"),
    ("invoke/encrypt", {}, "Calls of type 'encrypt' are not served"),
    ("invoke/parameter-extractor", {}, "Calls of type 'node_parameter_extractor' are not served"),
    ("upload/file/request", {}, "Calls of type 'upload_file' are not served"),
    ("fetch/app/info", {}, "Calls of type 'fetch_app' are not served"),
]


@pytest.mark.parametrize(("path", "fields", "text"), WRONG)
def test_a_fault_is_an_error_that_the_daemon_shows(
    platform: Platform, path: str, fields: dict[str, Any], text: str
) -> None:
    value = ask(platform.gateway, path, {**body("any", "words"), **fields})
    assert value["data"] is None
    assert value["error"].startswith(text)


@pytest.mark.parametrize("path", ["invoke/tool", "invoke/app"])
def test_what_is_streamed_elsewhere_is_refused_in_a_frame(platform: Platform, path: str) -> None:
    (value,) = stream(platform.gateway, path, {"tenant_id": "t", "user_id": "u"})
    assert value["error"].startswith("Calls of type ")


@pytest.mark.parametrize("sent", [b"", b"[]", b"{"])
def test_what_is_no_object_is_an_error_in_a_frame(platform: Platform, sent: bytes) -> None:
    headers = {"X-Inner-Api-Key": INNER_KEY}
    status, reply = platform.gateway.ask("POST", "/inner/api/invoke/llm", sent, headers)
    (value,) = frames(reply)
    assert status == 200
    assert value["error"].startswith("body: ")


@pytest.mark.parametrize("key", [None, "", "wrong", INNER_KEY + "x"])
@pytest.mark.parametrize("path", ["invoke/llm", "invoke/moderation", "nonsense"])
def test_without_the_key_there_is_nothing(platform: Platform, path: str, key: str | None) -> None:
    before = len(platform.events())
    with posted(platform.gateway, path, llm_body(), key) as answer:
        assert answer.response.status == 404  # as in Dify
        reply = answer.response.read()
    assert json.loads(reply)["error"] == "X-Inner-Api-Key is not the key of this gateway"
    assert len(platform.events()) == before


def test_a_path_that_does_not_exist_says_so(platform: Platform) -> None:
    value = ask(platform.gateway, "invoke/nonsense", {})
    assert value["error"].startswith("path: there is no /inner/api/invoke/nonsense here")


def test_the_daemon_leaving_ends_the_call_at_the_vendor(platform: Platform) -> None:
    """The daemon closes a body after 240 s; the vendor would go on for ever."""
    before = len(platform.events())
    sent = llm_body(model="stream", completion_params={"hang_after": 1})
    with posted(platform.gateway, "invoke/llm", sent) as answer:
        assert answer.response.read(14)[:1] == b"\x0f"
    eventually("the vendor's call is closed", lambda: len(platform.events()) == before + 2)
    assert platform.events()[-1].endswith(" closed")


def test_a_body_of_ten_mebibytes_arrives_whole(platform: Platform) -> None:
    texts = ["word " * 2048] * 1024
    sent = body("text_embedding", "hash", texts=texts, input_type="document")
    assert len(go_json(sent)) > 10 * 1024 * 1024
    value = ask(platform.gateway, "invoke/text-embedding", sent)
    assert len(value["data"]["embeddings"]) == 1024


def test_tenant_and_user_are_those_of_the_daemon(platform: Platform) -> None:
    ask(platform.gateway, "invoke/moderation", body("moderation", "words", text="a"))
    line = platform.gateway.lines("call finished")[-1]
    assert (line["plugin"], line["tenant"], line["user"]) == ("gateway", "tenant-1", "user-1")
    assert line["endpoint"] == "inner"


def test_without_its_key_there_is_no_inner_api(
    platform: Platform, redis_server: Server, tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("keyless")
    env = {"INVOKEQ_INNER_API_KEY": ""}
    with running_gateway(redis_server.url, directory, env=env) as gateway:
        for key in (None, "", INNER_KEY):
            with posted(gateway, "invoke/moderation", {}, key) as answer:
                assert answer.response.status == 404
