"""The fake vendor follows the plan."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from invokeq.protocol.entities import LLMResultChunk
from invokeq.protocol.errors import (
    CredentialsError,
    InvalidParameterError,
    ProviderUnavailableError,
    RateLimitedError,
    RejectedByProviderError,
)
from invokeq.protocol.requests import LLMRequest
from invokeq_providers import LLMCall, prepare_llm
from invokeq_providers.chunks import as_entity
from invokeq_providers.scripted import ScriptedProvider

TOOL = {"name": "search", "description": "Searches.", "parameters": {"type": "object"}}

_numbers = count(1)


def call(
    provider: ScriptedProvider, model: str = "echo", said: str = "a b  c", **more: Any
) -> LLMCall:
    tools = more.pop("tools", None)
    stop = more.pop("stop", None)
    messages = more.pop("messages", [{"role": "user", "content": said}])
    request = LLMRequest(
        provider=provider.name,
        model=model,
        prompt_messages=messages,
        completion_params=more,
        tools=tools,
        stop=stop,
    )
    return prepare_llm(request, provider, request_id=f"test-scripted-{next(_numbers)}")


async def answer(provider: ScriptedProvider, prepared: LLMCall) -> list[LLMResultChunk]:
    async with aclosing(provider.llm(prepared)) as chunks:
        return [as_entity(chunk) async for chunk in chunks]


def texts(chunks: Sequence[LLMResultChunk]) -> list[str]:
    return [chunk.delta.message.get_text_content() for chunk in chunks]


async def run(*args: Any, **more: Any) -> list[LLMResultChunk]:
    provider = ScriptedProvider("scripted", {})
    return await answer(provider, call(provider, *args, **more))


class FakeTime:
    """A loop's clock, moved by sleeping only; records the times of waking."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.wakes: list[float] = []
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: self.now)
        monkeypatch.setattr(asyncio, "sleep", self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.now += seconds
        if seconds:
            self.wakes.append(round(self.now - 1000.0, 6))


async def test_echo_says_word_by_word_what_the_user_said() -> None:
    chunks = await run("echo", "Grüße,  世界 🌍\nbye")
    assert texts(chunks) == ["Grüße,  ", "世界 ", "🌍\n", "bye", ""]
    assert [chunk.delta.index for chunk in chunks] == [0, 1, 2, 3, 4]
    usage = chunks[-1].delta.usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens) == (4, 4)
    assert usage.total_price > 0
    assert chunks[-1].delta.finish_reason == "stop"


async def test_stream_is_as_much_as_planned() -> None:
    chunks = await run("stream", chunks=3, chunk_size=5)
    assert texts(chunks) == ["....."] * 3 + [""]
    assert len(await run("stream", chunks=0)) == 1


async def test_options_are_defaults_that_a_call_overrides() -> None:
    provider = ScriptedProvider("fake", {"text": "by option", "chunk_size": 4})
    assert texts(await answer(provider, call(provider))) == ["by o", "ptio", "n", ""]
    assert texts(await answer(provider, call(provider, text="x"))) == ["x", ""]


async def test_usage_can_be_left_out() -> None:
    assert (await run(usage=False))[-1].delta.usage is None


async def test_max_tokens_cuts_the_answer() -> None:
    chunks = await run(max_tokens=2)
    assert texts(chunks) == ["a ", "b  ", ""]
    assert chunks[-1].delta.finish_reason == "length"


async def test_a_stop_word_ends_the_answer() -> None:
    chunks = await run("echo", "one two three four", stop=["three"])
    assert "".join(texts(chunks)) == "one two "
    assert chunks[-1].delta.finish_reason == "stop"


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("rate_limit", RateLimitedError),
        ("server_error", ProviderUnavailableError),
        ("connection", ProviderUnavailableError),
        ("bad_request", RejectedByProviderError),
        ("auth", CredentialsError),
        ("internal", ValueError),
    ],
)
async def test_it_fails_as_planned(kind: str, error: type[Exception]) -> None:
    provider = ScriptedProvider("scripted", {})
    prepared = call(provider, "stream", fail_after=2, fail_with=kind, retry_after=3.5)
    taken: list[LLMResultChunk] = []

    async def consume() -> None:
        async for chunk in provider.llm(prepared):
            taken.append(as_entity(chunk))  # noqa: PERF401  a comprehension would lose them

    with pytest.raises(error) as caught:
        await consume()
    assert type(caught.value) is error
    assert len(taken) == 2
    assert ScriptedProvider.events(prepared.request_id) == ["started", "failed"]
    if isinstance(caught.value, RateLimitedError):
        assert caught.value.retry_after == 3.5


async def test_it_may_fail_before_the_first_chunk_and_after_the_last() -> None:
    for after in (0, 3):
        with pytest.raises(ProviderUnavailableError):
            await run("stream", chunks=3, fail_after=after)


async def test_closing_a_stream_that_hangs_is_noted() -> None:
    provider = ScriptedProvider("scripted", {})
    prepared = call(provider, "stream", hang_after=1)
    chunks = provider.llm(prepared)
    await anext(chunks)
    waiting = asyncio.ensure_future(anext(chunks))
    await asyncio.wait([waiting], timeout=0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert ScriptedProvider.events(prepared.request_id) == ["started", "closed"]


async def test_leaving_early_is_noted() -> None:
    provider = ScriptedProvider("scripted", {})
    prepared = call(provider)
    chunks = provider.llm(prepared)
    await anext(chunks)
    await chunks.aclose()
    assert ScriptedProvider.events(prepared.request_id) == ["started", "closed"]


async def test_a_call_that_is_not_begun_leaves_no_trace() -> None:
    provider = ScriptedProvider("scripted", {})
    prepared = call(provider)
    await provider.llm(prepared).aclose()
    assert ScriptedProvider.events(prepared.request_id) == []


async def test_chunks_are_due_at_absolute_times(monkeypatch: pytest.MonkeyPatch) -> None:
    time = FakeTime(monkeypatch)
    provider = ScriptedProvider("scripted", {"rate": 10.0, "first_chunk_delay": 1.0})
    async with aclosing(provider.llm(call(provider, "stream", chunks=5))) as chunks:
        async for chunk in chunks:
            if chunk.delta.index == 1:
                time.now += 0.25  # a slow consumer makes two chunks late, and the rest no later
    assert time.wakes == [1.0, 1.1, 1.4, 1.5]


async def test_other_tasks_get_their_turn_without_a_rate() -> None:
    provider = ScriptedProvider("scripted", {})
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    await answer(provider, call(provider, "stream", chunks=1000))
    task.cancel()
    assert turns > 10


async def test_the_tools_model_calls_the_first_tool() -> None:
    provider = ScriptedProvider("scripted", {})
    prepared = call(provider, "tools", tools=[TOOL])
    (last,) = await answer(provider, prepared)
    assert last.delta.finish_reason == "tool_calls"
    assert [
        (c.id, c.function.name, c.function.arguments) for c in last.delta.message.tool_calls
    ] == [("call_0", "search", "{}")]
    assert ScriptedProvider.events(prepared.request_id) == ["started", "tools:search", "finished"]


async def test_tool_calls_can_be_planned() -> None:
    plan = '[{"arguments": {"q": 1}}, {"name": "other"}]'
    (last,) = await run("tools", tools=[TOOL], tool_calls=plan)
    assert [(c.function.name, c.function.arguments) for c in last.delta.message.tool_calls] == [
        ("search", '{"q":1}'),
        ("other", "{}"),
    ]


@pytest.mark.parametrize("plan", ["{", "{}", "[1]"])
async def test_a_wrong_plan_of_tool_calls_is_named(plan: str) -> None:
    with pytest.raises(InvalidParameterError, match="tool_calls"):
        await run("tools", tools=[TOOL], tool_calls=plan)


async def test_a_tool_that_has_answered_is_not_called_again() -> None:
    messages = [
        {"role": "user", "content": "u"},
        {"role": "tool", "content": "found", "tool_call_id": "call_0"},
    ]
    chunks = await run("tools", messages=messages, tools=[TOOL])
    assert "".join(texts(chunks)) == "found"


async def test_the_journal_can_be_a_file(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    provider = ScriptedProvider("scripted", {"journal_file": str(path)})
    prepared = call(provider)
    await answer(provider, prepared)
    await provider.close()
    lines = [f"{prepared.request_id} started", f"{prepared.request_id} finished"]
    assert path.read_text().splitlines() == lines
