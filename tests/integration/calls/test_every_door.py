"""One contract for every kind of call, over every door and provider: sync, async, and Dify's SDK.

With the scripted vendor, whose answers are the same each time, the three give the same values.
"""

import asyncio
import io
import json
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping
from typing import Any, Final, NamedTuple, cast

import pytest
from pydantic import BaseModel

from invokeq import AsyncSession, Session
from invokeq.protocol.audio import MP3, recognise
from tests.integration.dify.test_dify_bind import Program, running_program
from tests.support.processes.worker import WorkerProcess, running_worker
from tests.support.servers.server import Server

pytestmark = pytest.mark.timeout(360)

QUEUES = ("llm", "text-embedding", "rerank", "tts", "speech2text", "moderation")
MODELS: Final[Mapping[str, Mapping[str, str]]] = {
    "scripted": {
        "llm": "echo",
        "structured": "structured",
        "text-embedding": "hash",
        "rerank": "overlap",
        "tts": "silence",
        "speech2text": "tags",
        "moderation": "words",
    },
    "local": {
        "llm": "smollm2",
        "structured": "smollm2",
        "text-embedding": "minilm",
        "rerank": "minilm-rerank",
        "tts": "espeak",
        "speech2text": "whisper-tiny",
        "moderation": "safetype",
    },
}
SPEECH = "The weather is nice today. We are going to the beach. Please bring some water. " * 3
LONG = "The bridge was built of stone. " * 40
SCHEMA = {
    "type": "object",
    "properties": {"likes_tea": {"type": "boolean"}},
    "required": ["likes_tea"],
}
TEXTS = ["a cat sleeps", "a kitten naps", "the stock market fell", "你好 مرحبا"] * 20

Call = Callable[..., Any]
"""Takes the attribute of `session.model`, arguments as JSON, and gives a result as JSON."""


class Place(NamedTuple):
    """A worker with one provider, and a program with Dify's SDK beside it."""

    provider: str
    url: str
    worker: WorkerProcess
    program: Program

    def config(self, kind: str, **fields: Any) -> dict[str, Any]:
        return {"provider": self.provider, "model": MODELS[self.provider][kind], **fields}


def _places() -> list[Any]:
    return ["scripted", pytest.param("local", marks=pytest.mark.local_model)]


@pytest.fixture(scope="module", params=_places())
def place(
    request: pytest.FixtureRequest,
    redis_server: Server,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Place]:
    redis_server.erase()
    name: str = request.param
    summary = f"{name}/{MODELS[name]['llm']}"
    with (
        redis_server.connect() as client,
        running_worker(
            redis_server.url,
            tmp_path_factory.mktemp(name),
            providers={name: {"type": name}},
            queues=QUEUES,
            summary_model=summary,
        ) as worker,
        running_program(redis_server.url, worker, client) as program,
    ):
        yield Place(name, redis_server.url, worker, program)


def plain(value: Any) -> Any:
    """Make JSON of a result, as the program with Dify's SDK does."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, bytes):
        return bytes(value).hex()
    return [plain(item) for item in cast(list[Any], value)] if isinstance(value, list) else value


def _file(argument: Any) -> Any:
    if not isinstance(argument, dict):
        return argument
    given = cast(dict[str, Any], argument)
    return io.BytesIO(bytes.fromhex(given["file"])) if given.keys() == {"file"} else given


def sync_door(place: Place) -> Call:
    def call(attribute: str, *arguments: Any, method: str = "invoke", **named: Any) -> Any:
        with Session("acme", redis=place.url) as session:
            invoke = getattr(getattr(session.model, attribute), method)
            result = invoke(*map(_file, arguments), **named)
            return plain(list(cast(Any, result)) if isinstance(result, Generator) else result)

    return call


def async_door(place: Place) -> Call:
    def call(attribute: str, *arguments: Any, method: str = "invoke", **named: Any) -> Any:
        async def run() -> Any:
            async with AsyncSession("acme", redis=place.url) as session:
                invoke = getattr(getattr(session.model, attribute), method)
                result = invoke(*map(_file, arguments), **named)
                if isinstance(result, AsyncGenerator):
                    return plain([item async for item in cast(AsyncGenerator[Any, None], result)])
                return plain(await result)

        return asyncio.run(run())

    return call


def dify_door(place: Place) -> Call:
    def call(attribute: str, *arguments: Any, method: str = "invoke", **named: Any) -> Any:
        asked = {"attribute": attribute, "method": method, "arguments": list(arguments)}
        answer = place.program.ask("call", **asked, named=named)
        items = isinstance(answer[0], list) if answer else True
        return [value for _, value in answer] if items else answer[1]

    return call


DOORS = {"sync": sync_door, "async": async_door, "dify": dify_door}


@pytest.fixture(params=DOORS)
def call(request: pytest.FixtureRequest, place: Place) -> Call:
    return DOORS[request.param](place)


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def alike(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def test_an_llm_streams_or_answers_at_once(place: Place, call: Call) -> None:
    params = {"temperature": 0.0, "max_tokens": 12} if place.provider == "local" else {}
    config = place.config("llm", mode="chat", completion_params=params)
    chunks = call("llm", config, user("Name one river"))
    assert len(chunks) > 1
    assert {json.dumps(chunk["prompt_messages"]) for chunk in chunks} == {"[]"}
    told = "".join(chunk["delta"]["message"]["content"] for chunk in chunks)
    whole = call("llm", config, user("Name one river"), stream=False)
    assert whole["message"]["content"] == told != ""
    assert whole["usage"]["total_tokens"] > 0


def test_structured_output_obeys_the_schema(place: Place, call: Call) -> None:
    params = {"temperature": 0.0, "max_tokens": 60} if place.provider == "local" else {}
    config = place.config("structured", mode="chat", completion_params=params)
    chunks = call("llm_structured_output", config, user("Does Ann like tea?"), SCHEMA)
    *before, last = [chunk["structured_output"] for chunk in chunks]
    assert set(before) == {None}
    assert isinstance(last["likes_tea"], bool)
    whole = call("llm_structured_output", config, user("Does Ann like tea?"), SCHEMA, stream=False)
    assert whole["structured_output"] == last


def test_summaries(place: Place, call: Call) -> None:
    assert call("summary", "x" * 1023, "") == "x" * 1023
    summary = call("summary", LONG, "In five words.")
    assert summary.strip()
    assert summary != LONG or place.provider == "scripted"


def test_vectors_keep_the_order(place: Place, call: Call) -> None:
    result = call("text_embedding", place.config("text-embedding"), TEXTS, "document")
    rows = result["embeddings"]
    assert len(rows) == len(TEXTS)
    if place.provider == "local":
        assert alike(rows[0], rows[1]) > alike(rows[0], rows[2])
        assert min(alike(*pair) for pair in zip(rows[:4], rows[-4:], strict=True)) > 0.99
    else:
        assert rows == rows[:4] * 20
    assert result["usage"]["total_tokens"] > 0
    assert call("text_embedding", place.config("text-embedding"), [])["embeddings"] == []


def test_documents_are_ranked_with_their_texts(place: Place, call: Call) -> None:
    docs = ["Bananas are yellow.", "Paris is the capital of France.", "Dogs bark."]
    question = "capital of France."
    config = place.config("rerank", score_threshold=-1.0, top_n=2)
    result = call("rerank", config, docs, question)
    assert result["docs"][0]["index"] == 1
    assert [doc["text"] for doc in result["docs"]] == [docs[d["index"]] for d in result["docs"]]
    assert len(result["docs"]) == 2
    everything = place.config("rerank", score_threshold=None, top_n=None)
    assert len(call("rerank", everything, docs, question)["docs"]) == 3
    assert call("rerank", config, [], question)["docs"] == []
    contents = [{"content": doc, "content_type": "text"} for doc in docs]
    asked = {"content": question, "content_type": "text"}
    seen = call("rerank", everything, asked, contents, method="invoke_multimodal")
    assert seen["docs"][0]["text"] == docs[1]


def test_speech_is_heard_again(place: Place, call: Call) -> None:
    voice = "en-us" if place.provider == "local" else "ann"
    segments = call("tts", place.config("tts", voice=voice), SPEECH)
    audio = [bytes.fromhex(segment) for segment in segments]
    assert len(audio) > 1
    assert {recognise(segment) for segment in audio} == {MP3}
    heard = call("speech2text", place.config("speech2text"), {"file": b"".join(audio).hex()})
    assert sum(word in heard.lower() for word in ("weather", "nice", "beach", "water")) >= 3


def test_verdicts(place: Place, call: Call) -> None:
    config = place.config("moderation")
    assert call("moderation", config, "I hope you have a lovely day.") is False
    assert call("moderation", config, "I will attack and kill you, you fucking idiot.") is True


def test_the_doors_give_the_same(place: Place) -> None:
    if place.provider == "local":
        pytest.skip("its speech and its latencies differ each time")
    asked: list[tuple[Any, ...]] = [
        ("llm", place.config("llm", mode="chat"), user("a b c")),
        ("llm_structured_output", place.config("structured", mode="chat"), user("x"), SCHEMA),
        ("summary", LONG, "Be brief."),
        ("text_embedding", place.config("text-embedding"), TEXTS),
        ("rerank", place.config("rerank", score_threshold=0.0, top_n=2), ["a b", "b", "c"], "b c"),
        ("tts", place.config("tts", voice="bob"), SPEECH),
        ("moderation", place.config("moderation"), "attack"),
    ]
    for arguments in asked:
        first, *others = [_timeless(door(place)(*arguments)) for door in DOORS.values()]
        assert others == [first, first], arguments[0]


def _timeless(value: Any) -> Any:
    """Leave out what differs each time, and what older SDKs do not have."""
    if isinstance(value, dict):
        kept = cast(dict[str, Any], value)
        gone = ("latency", "opaque_body")
        return {name: _timeless(item) for name, item in kept.items() if name not in gone}
    return (
        [_timeless(item) for item in cast(list[Any], value)] if isinstance(value, list) else value
    )
