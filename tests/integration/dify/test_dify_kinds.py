"""Dify's real SDK, bound to invokeq, beyond LLM calls: equal to the SDK's own transport."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from invokeq.protocol.audio import MP3, recognise
from invokeq.protocol.redis import keys
from tests.integration.dify.test_dify_bind import Program, chunk, running_program
from tests.support.processes.worker import running_worker
from tests.support.servers.leaked_keys import leaked_keys
from tests.support.servers.server import Server
from tests.support.waiting import eventually

QUEUES = ("llm", "text-embedding", "rerank", "tts", "speech2text", "moderation")
SENTENCES = "One fish. " * 40
"""More than the scripted voice says at once."""

ENTITIES = "dify_plugin.entities.model"


def entity(path: str, **fields: Any) -> dict[str, Any]:
    """Return a reference to an entity of the SDK: `module:Class` and the fields."""
    return {"entity": path, **fields}


def config(path: str, model: str, **fields: Any) -> dict[str, Any]:
    return entity(path, provider="scripted", model=model, **fields)


def content(kind: str, data: str) -> dict[str, Any]:
    return entity(".text_embedding:MultiModalContent", content=data, content_type=kind)


EMBEDDING = config(".text_embedding:TextEmbeddingModelConfig", "hash")
SIGHT = config(".text_embedding:MultiModalEmbeddingModelConfig", "hash-vision", tenant_id="other")
RERANK = config(".rerank:RerankModelConfig", "overlap", score_threshold=0.3, top_n=2)
SIGHT_RERANK = config(".rerank:MultiModalRerankModelConfig", "overlap-vision")
VOICE = config(".tts:TTSModelConfig", "silence", voice="bob")
EARS = config(".speech2text:Speech2TextModelConfig", "tags")
JUDGE = config(".moderation:ModerationModelConfig", "words")
LLM = config(".llm:LLMModelConfig", "structured", mode="chat")
QUESTION = [entity(".message:UserPromptMessage", content="A city")]
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "big": {"type": "boolean"}},
    "required": ["name", "big"],
}
DOCUMENT = entity(":EmbeddingInputType", value="document")
PICTURE = content("image", "aGVsbG8=")
LONG = "Once upon a time. " * 60


@pytest.fixture(scope="module")
def program(redis_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """One program, one worker for all kinds of call and one database for all tests here."""
    redis_server.erase()
    directory = tmp_path_factory.mktemp("dify")
    with (
        redis_server.connect() as client,
        running_worker(
            redis_server.url, directory, queues=QUEUES, summary_model="scripted/echo"
        ) as worker,
        running_program(redis_server.url, worker, client) as program,
    ):
        yield program
        assert leaked_keys(client, keys.PERMANENT) == []


def call(
    program: Program, attribute: str, *arguments: Any, method: str = "invoke", **named: Any
) -> Any:
    return program.ask(
        "call", attribute=attribute, method=method, arguments=list(arguments), named=named
    )


def as_the_sdk_has_it(
    program: Program, attribute: str, *arguments: Any, method: str = "invoke"
) -> Any:
    """Compare the result of a call with the SDK's result for a daemon's answer."""
    own = call(program, attribute, *arguments, method=method)
    sent = [own[1]] if isinstance(own[1], dict) else [{"result": own[1], "summary": own[1]}]
    sdks = program.ask(
        "sdks", attribute=attribute, method=method, arguments=list(arguments), payloads=sent
    )
    assert own == sdks
    return own[1]


def test_vectors_are_in_the_sdks_own_result(program: Program) -> None:
    kind, result = call(program, "text_embedding", EMBEDDING, ["one two", "three"])
    assert kind == f"{ENTITIES}.text_embedding.TextEmbeddingResult"
    assert as_the_sdk_has_it(program, "text_embedding", EMBEDDING, ["one two", "three"])
    assert [len(row) for row in result["embeddings"]] == [8, 8]
    assert (result["model"], result["usage"]["tokens"]) == ("hash", 3)
    assert float(result["usage"]["total_price"]) == 0.0000003


def test_the_input_type_is_that_of_the_caller(program: Program) -> None:
    query = call(program, "text_embedding", EMBEDDING, ["one"])[1]["embeddings"]
    document = call(program, "text_embedding", EMBEDDING, ["one"], DOCUMENT)[1]["embeddings"]
    named = call(program, "text_embedding", EMBEDDING, texts=["one"], input_type=DOCUMENT)[1]
    assert document == named["embeddings"] != query


def test_pictures_become_vectors(program: Program) -> None:
    documents = [content("text", "a"), PICTURE, {"content": "b", "content_type": "text"}]
    arguments = ("text_embedding", SIGHT, documents)
    kind, result = call(program, *arguments, method="invoke_multimodal")
    assert kind == f"{ENTITIES}.text_embedding.MultiModalEmbeddingResult"
    assert len(result["embeddings"]) == 3
    assert as_the_sdk_has_it(program, *arguments, method="invoke_multimodal")


def test_documents_come_before_the_query(program: Program) -> None:
    docs = ["rain", "a red cat", "a red fish"]
    result = as_the_sdk_has_it(program, "rerank", RERANK, docs, "a red fish")
    assert [(doc["index"], doc["text"]) for doc in result["docs"]] == [
        (2, "a red fish"),
        (1, "a red cat"),
    ]
    assert call(program, "rerank", RERANK, [], "a red fish")[1]["docs"] == []
    kind, named = call(program, "rerank", RERANK, query="rain", docs=docs)
    assert kind == f"{ENTITIES}.rerank.RerankResult"
    assert [doc["index"] for doc in named["docs"]] == [0]


def test_the_query_comes_before_pictures(program: Program) -> None:
    docs = [content("text", "rain"), PICTURE]
    arguments = ("rerank", SIGHT_RERANK, PICTURE, docs)
    result = as_the_sdk_has_it(program, *arguments, method="invoke_multimodal")
    assert [(doc["index"], doc["text"]) for doc in result["docs"]] == [(1, ""), (0, "rain")]


def test_speech_is_bytes_segment_by_segment(program: Program) -> None:
    segments = call(program, "tts", VOICE, SENTENCES)
    assert len(segments) > 1
    assert {kind for kind, _ in segments} == {"builtins.bytes"}
    audio = [bytes.fromhex(digits) for _, digits in segments]
    assert {recognise(segment) for segment in audio} == {MP3}
    payloads = [{"result": digits, "mime_type": "audio/mpeg"} for _, digits in segments]
    arguments = {"attribute": "tts", "method": "invoke", "arguments": [VOICE, SENTENCES]}
    assert program.ask("sdks", **arguments, payloads=payloads) == segments
    heard = call(program, "speech2text", EARS, {"file": b"".join(audio).hex()})
    assert heard[0] == "builtins.str"
    assert "".join(heard[1].split()) == "".join(SENTENCES.split())
    assert as_the_sdk_has_it(program, "speech2text", EARS, {"file": audio[0].hex()})


def test_speech_is_not_even_looked_at_before_the_first_segment_is_wanted(program: Program) -> None:
    before = program.jobs()
    program.ask("begin", name="speech", attribute="tts", arguments=[VOICE, SENTENCES])
    program.ask("begin", name="broken", attribute="tts", arguments=[{"model": "silence"}, ""])
    assert program.jobs() == before
    assert program.send("advance", name="broken")["raised"][0] == "InvalidRequestError"
    assert program.jobs() == before
    assert program.ask("advance", name="speech")[0] == "builtins.bytes"
    assert len(program.jobs() - before) == 1
    program.ask("close", name="speech")


def test_a_verdict_is_a_bool(program: Program) -> None:
    assert as_the_sdk_has_it(program, "moderation", JUDGE, "hello") is False
    assert as_the_sdk_has_it(program, "moderation", JUDGE, "we attack at dawn") is True
    assert call(program, "moderation", model_config=JUDGE, text="hello") == ["builtins.bool", False]


def test_a_short_text_is_its_own_summary(program: Program) -> None:
    before = program.jobs()
    short = "x" * 1023
    assert call(program, "summary", short, "") == ["builtins.str", short]
    assert call(program, "summary", text="long enough", instruction="", min_summarize_length=12)
    assert program.jobs() == before
    assert call(program, "summary", LONG, "")[0] == "builtins.str"
    assert len(program.jobs() - before) == 1
    assert (
        program.send("call", attribute="summary", method="invoke", arguments=["x"], named={})[
            "raised"
        ][0]
        == "TypeError"
    )


def test_an_object_comes_in_a_chunk_of_its_own(program: Program) -> None:
    before = program.jobs()
    chunks = call(program, "llm_structured_output", LLM, QUESTION, SCHEMA)
    assert {kind for kind, _ in chunks} == {f"{ENTITIES}.llm.LLMResultChunkWithStructuredOutput"}
    values = [value for _, value in chunks]
    assert [value["structured_output"] for value in values[:-1]] == [None] * (len(values) - 1)
    assert values[-1]["structured_output"] == {"name": "text", "big": True}
    assert values[-1]["delta"]["usage"] is None
    told = "".join(value["delta"]["message"]["content"] for value in values)
    assert json.loads(told) == {"name": "text", "big": True}
    assert len(program.jobs() - before) == 1


def test_a_whole_object_is_in_the_sdks_own_result(program: Program) -> None:
    picked = {"provider": "scripted", "model": "structured", "model_type": "llm"}
    for chosen in (LLM, picked):
        arguments = ("llm_structured_output", chosen, QUESTION, SCHEMA)
        kind, result = call(program, *arguments, stream=False)
        assert kind == f"{ENTITIES}.llm.LLMResultWithStructuredOutput"
        assert result["structured_output"] == {"name": "text", "big": True}
        assert result["model"] == "structured"
        assert result["usage"]["total_tokens"] > 0


@pytest.mark.parametrize(
    "outputs",
    [
        pytest.param([None], id="none came"),
        pytest.param([None, {"a": 1}, None], id="one in the middle"),
        pytest.param([{"a": 1}, {"b": 2}, {}], id="the last that is not empty"),
    ],
)
def test_objects_accumulate_by_the_sdks_own_rules(program: Program, outputs: list[Any]) -> None:
    chunks = [{**chunk(f"text {n}"), "structured_output": o} for n, o in enumerate(outputs)]
    own, sdks = program.ask("accumulated_structured", chunks=chunks)
    for result in (own, sdks):
        result["message"].pop("opaque_body", None)  # which older SDKs do not have
    assert own == sdks


def test_an_object_is_not_asked_for_before_it_is_wanted(program: Program) -> None:
    before = program.jobs()
    arguments = [LLM, QUESTION, SCHEMA]
    program.ask("begin", name="object", attribute="llm_structured_output", arguments=arguments)
    assert program.jobs() == before
    program.ask("advance", name="object")
    (request_id,) = program.jobs() - before
    program.ask("close", name="object")
    eventually("the vendor is done", lambda: len(program.worker.vendor_events(request_id)) == 2)


FAILURES: list[tuple[str, str, list[Any], set[str], str]] = [
    (
        "text_embedding",
        "invoke",
        [{"provider": "acme", "model": "x"}, ["a"]],
        {"ProviderNotFoundError"},
        "No provider is called 'acme'; there are: scripted",
    ),
    (
        "text_embedding",
        "invoke",
        [{**EMBEDDING, "model": "nope"}, ["a"]],
        {"ModelNotFoundError"},
        "Provider scripted has no text-embedding model 'nope'; it has: hash, hash-vision",
    ),
    (
        "text_embedding",
        "invoke",
        [EMBEDDING, "a"],
        {"InvalidRequestError"},
        "texts: must be a list",
    ),
    ("text_embedding", "invoke", [EMBEDDING, ["a", ""]], {"InvalidRequestError"}, "texts[1]: "),
    (
        "rerank",
        "invoke",
        [{**RERANK, "top_n": 0}, ["a"], "q"],
        {"ValueError"},
        "model_config.top_n",
    ),
    ("rerank", "invoke", [RERANK, "q", ["a"]], {"InvalidRequestError"}, "docs: must be a list"),
    (
        "text_embedding",
        "invoke_multimodal",
        [{**SIGHT, "model": "hash"}, [PICTURE]],
        {"RequestError"},
        "",
    ),
    ("tts", "invoke", [{**VOICE, "voice": "eve"}, "a"], {"InvalidRequestError"}, ""),
    ("tts", "invoke", [VOICE, " "], {"InvalidRequestError"}, "content_text: "),
    ("speech2text", "invoke", [EARS, {"file": ""}], {"InvalidRequestError"}, "file: is empty"),
    ("speech2text", "invoke", [EARS, {"file": "00"}], {"InvalidRequestError"}, "file: is no audio"),
    ("moderation", "invoke", [JUDGE, ""], {"InvalidRequestError"}, "text: "),
    (
        "llm_structured_output",
        "invoke",
        [LLM, QUESTION, {"type": "nonsense"}],
        {"InvalidRequestError"},
        "structured_output_schema: ",
    ),
]


@pytest.mark.parametrize(("attribute", "method", "arguments", "classes", "text"), FAILURES)
def test_failures_are_typed_errors_that_read_well(
    program: Program,
    attribute: str,
    method: str,
    arguments: list[Any],
    classes: set[str],
    text: str,
) -> None:
    reply = program.send("call", attribute=attribute, method=method, arguments=arguments, named={})
    assert classes | {"InvokeqError", "Exception"} <= set(reply["raised"])
    assert reply["text"].startswith(text)
    assert "\n" not in reply["text"]
