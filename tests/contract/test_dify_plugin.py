"""An unmodified model plugin as a provider: every kind of call, on each SDK.

Streaming, stopping and cancelling are tested in test_llm_providers.py.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any

import pytest

from invokeq.protocol.entities import (
    EmbeddingInputType,
    FetchFrom,
    LLMResultChunk,
    ModelPropertyKey,
    ModelType,
    PromptMessageTool,
)
from invokeq.protocol.errors import (
    CredentialsError,
    InvalidConfigurationError,
    InvokeqError,
    ModelNotFoundError,
    PluginCrashedError,
    PluginFailedError,
    ProviderUnavailableError,
    RateLimitedError,
    RejectedByProviderError,
)
from invokeq.protocol.requests import (
    LLMRequest,
    ModerationRequest,
    RerankRequest,
    SummaryRequest,
    TextEmbeddingRequest,
    TTSRequest,
)
from invokeq_providers import build_providers, prepare_llm
from invokeq_providers.calls import Result, Scores, Segment, Vectors
from invokeq_providers.chat.collect import collect
from invokeq_providers.dify_plugin import DifyPluginProvider
from tests.contract import calls
from tests.support.calls import Bench
from tests.support.dify.plugins import ECHO, KEY, PYTHONS, VARIABLE, echo_options
from tests.support.waiting import eventually_async

WEATHER = PromptMessageTool(
    name="weather", description="Tells the weather.", parameters={"type": "object"}
)


@pytest.fixture
async def provider() -> AsyncGenerator[DifyPluginProvider, None]:
    made = DifyPluginProvider("echo", echo_options())
    await made.start()
    yield made
    await made.close()


@pytest.fixture(params=PYTHONS, ids=lambda python: Path(python).parents[1].name)
async def any_sdk(request: pytest.FixtureRequest) -> AsyncGenerator[DifyPluginProvider, None]:
    made = DifyPluginProvider("echo", echo_options(python=request.param))
    await made.start()
    yield made
    await made.close()


def bench(provider: DifyPluginProvider, **services: Any) -> Bench:
    return Bench(provider=provider, **services)


def ask(**request: Any) -> dict[str, Any]:
    return {"provider": "scripted", **request}


async def answer(provider: DifyPluginProvider, text: str, **request: Any) -> LLMResultChunk:
    """Have a model answer, as one chunk."""
    given = {
        "provider": "echo",
        "model": "echo-large",
        "prompt_messages": [{"role": "user", "content": text}],
        **request,
    }
    call = prepare_llm(LLMRequest.model_validate(given), provider, user="ann")
    return collect([chunk async for chunk in provider.llm(call)])


def test_another_sdk_is_tried_where_there_is_one() -> None:
    if len(PYTHONS) == 1:
        pytest.skip(f"{VARIABLE} names no interpreter with another SDK")


def test_the_models_come_from_the_yaml_in_the_order_of_the_plugin() -> None:
    provider = build_providers({"echo": {"type": "dify_plugin", **echo_options()}})["echo"]
    assert [model.model for model in provider.models()] == [
        "echo-small",
        "echo-large",
        "echo-embedding",
        "echo-rerank",
        "echo-tts",
        "echo-stt",
        "echo-moderation",
    ]
    large = provider.facts(ModelType.LLM, "echo-large")
    assert [feature.value for feature in large.features or ()] == [
        "tool-call",
        "stream-tool-call",
        "vision",
    ]
    assert large.model_properties[ModelPropertyKey.CONTEXT_SIZE] == 32768
    assert {rule.name: rule.max for rule in large.parameter_rules}["max_tokens"] == 4096
    assert large.pricing is not None
    assert str(large.pricing.output) == "0.004"
    with pytest.raises(ModelNotFoundError, match="it has: echo-small, echo-large"):
        provider.facts(ModelType.LLM, "echo-tts")


async def test_an_llm_with_the_plugins_prices(any_sdk: DifyPluginProvider) -> None:
    chunk = await answer(any_sdk, "one two three")
    usage = chunk.delta.usage
    assert usage is not None
    assert chunk.delta.message.content == "one two three"
    assert (usage.prompt_tokens, usage.completion_tokens) == (3, 3)
    assert str(usage.total_price) == "0.0000180"


async def test_an_llm_calls_tools(any_sdk: DifyPluginProvider) -> None:
    chunk = await answer(
        any_sdk, 'call weather {"city": "Oslo"}', tools=[WEATHER.model_dump(mode="json")]
    )
    (call,) = chunk.delta.message.tool_calls
    assert (call.function.name, call.function.arguments) == ("weather", '{"city": "Oslo"}')


async def test_a_model_without_tools_is_sent_none(any_sdk: DifyPluginProvider) -> None:
    said = 'call weather {"city": "Oslo"}'
    chunk = await answer(any_sdk, said, model="echo-small", tools=[WEATHER.model_dump(mode="json")])
    assert chunk.delta.message.content == said


async def test_parameters_reach_the_plugin(any_sdk: DifyPluginProvider) -> None:
    chunk = await answer(any_sdk, "one two three", completion_params={"max_tokens": 2.0})
    assert chunk.delta.message.content == "one two"


async def test_tokens_are_counted_by_the_plugin(any_sdk: DifyPluginProvider) -> None:
    assert await any_sdk.count_tokens("echo-large", ["one", "", "one two three"]) == [1, 0, 3]


async def test_nobody_counts_where_the_plugin_cannot(provider: DifyPluginProvider) -> None:
    assert await provider.count_tokens("echo-large", ["one", "uncountable"]) is None
    quiet = DifyPluginProvider("echo", echo_options(counts_tokens=False))
    assert await quiet.count_tokens("echo-large", ["one"]) is None


async def test_embeddings_in_batches(any_sdk: DifyPluginProvider) -> None:
    texts = ["abc", "cab", "xyz", "a b"]
    request = ask(model="echo-embedding", texts=texts, input_type=EmbeddingInputType.DOCUMENT)
    said = await bench(any_sdk).outputs(TextEmbeddingRequest.model_validate(request))
    pieces = [piece for piece in said if isinstance(piece, Vectors)]
    rows = [row for piece in pieces for row in piece.rows]
    (result,) = (piece for piece in said if isinstance(piece, Result))
    assert len(pieces) == 2  # of three texts, which is what the model takes, and of one
    assert rows[0] == rows[1]
    assert sum(a * b for a, b in zip(rows[0], rows[2], strict=True)) == 0
    assert result.value["usage"]["total_price"] == "0.0000050"


async def test_reranking(any_sdk: DifyPluginProvider) -> None:
    request = ask(model="echo-rerank", query="a b", docs=["c", "a", "b a"], score_threshold=0.5)
    said = await bench(any_sdk).outputs(RerankRequest.model_validate(request))
    (scores,) = (piece for piece in said if isinstance(piece, Scores))
    assert scores.ranked == [(2, 1.0), (1, 0.5)]


async def test_speech_and_back(any_sdk: DifyPluginProvider) -> None:
    text = "Hello there, this is a sentence."
    request = TTSRequest.model_validate(ask(model="echo-tts", voice="High", content_text=text))
    said = await bench(any_sdk).outputs(request)
    (segment,) = (piece for piece in said if isinstance(piece, Segment))
    assert segment.mime_type == "audio/wav"
    heard = await any_sdk.speech2text(calls.transcription(any_sdk, "echo-stt", segment.audio))
    assert heard == "0.32 s at 800 Hz"


async def test_moderation(any_sdk: DifyPluginProvider) -> None:
    texts = {"QUIET please, it is late": False, "LISTEN TO ME": True}
    for text, sensitive in texts.items():
        request = ModerationRequest.model_validate(ask(model="echo-moderation", text=text))
        assert await bench(any_sdk).result(request) == {"result": sensitive}


async def test_a_summary_by_a_plugin(provider: DifyPluginProvider) -> None:
    request = SummaryRequest.model_validate({"text": "word " * 400, "instruction": "short"})
    result = await bench(provider, summary_model="scripted/echo-large").result(request)
    assert "word" in result["summary"]


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("rate limit", RateLimitedError),
        ("bad key", CredentialsError),
        ("bad request", RejectedByProviderError),
        ("down", ProviderUnavailableError),
        ("unreachable", ProviderUnavailableError),
        ("odd", PluginFailedError),
    ],
)
async def test_errors_of_the_plugin_are_ours(
    provider: DifyPluginProvider, fault: str, error: type[InvokeqError]
) -> None:
    with pytest.raises(error) as caught:
        await answer(provider, f"fail: {fault}")
    assert (caught.value.provider, caught.value.model) == ("echo", "echo-large")
    assert KEY not in str(caught.value.to_wire())
    assert (await answer(provider, "still there")).delta.message.content == "still there"


async def test_what_breaks_in_the_middle_is_typed_and_its_text_stays(
    provider: DifyPluginProvider, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(PluginFailedError, match="RuntimeError: the worker's log") as caught:
        await answer(provider, "one two break")
    assert caught.value.chunks == 2
    assert "it broke, key ***" in caplog.text
    assert KEY not in caplog.text


async def test_a_crash_is_typed_and_the_plugin_starts_again(
    provider: DifyPluginProvider, caplog: pytest.LogCaptureFixture
) -> None:
    """Every later call fails too without `ProcessPool._keep`."""
    waiting = asyncio.create_task(answer(provider, "one wait"))
    await eventually_async("it waits", lambda: provider.sessions == 1)
    with pytest.raises(PluginCrashedError, match="exit status 3") as caught:
        await answer(provider, "one two crash")
    assert (caught.value.chunks, caught.value.retryable) == (2, True)
    assert "stderr" not in caught.value.fields
    with pytest.raises(PluginCrashedError):
        await waiting
    assert (await answer(provider, "again")).delta.message.content == "again"
    assert "plugin ended plugin=invokeq/model_echo problem=exit status 3" in caplog.text


async def test_more_processes_when_the_operator_says_so() -> None:
    provider = DifyPluginProvider("echo", echo_options(processes=2))
    await provider.start()
    try:
        await eventually_async("both take calls", lambda: provider.processes == 2)
        before = children()
        waiting = asyncio.create_task(answer(provider, "one wait"))
        await eventually_async("it waits", lambda: provider.sessions == 1)
        # The idle one takes the next call: the busy one lives on when that crashes.
        with pytest.raises(PluginCrashedError):
            await answer(provider, "crash")
        assert not waiting.done()
        await eventually_async("both take calls again", lambda: provider.processes == 2)
        assert len(before & children()) == 1
        waiting.cancel()
        await asyncio.wait([waiting])
    finally:
        await provider.close()
    assert children() == set()


async def test_a_process_that_is_killed_is_replaced(provider: DifyPluginProvider) -> None:
    (pid,) = children()
    os.kill(pid, signal.SIGKILL)
    await eventually_async(
        "another takes calls", lambda: bool(children() - {pid}) and provider.processes == 1
    )
    assert (await answer(provider, "again")).delta.message.content == "again"


async def test_credentials_are_in_no_command_line_or_environment(
    provider: DifyPluginProvider,
) -> None:
    await answer(provider, "hello")
    (pid,) = children()
    assert KEY.encode() not in read_proc(pid, "cmdline") + read_proc(pid, "environ")


async def test_the_plugins_own_validator_refuses_credentials() -> None:
    wrong = "sk-this-is-wrong"
    provider = DifyPluginProvider("echo", echo_options(credentials={"api_key": wrong}))
    with pytest.raises(CredentialsError, match="Incorrect API key provided") as caught:
        await provider.start()
    assert wrong not in str(caught.value.to_wire())
    assert children() == set()
    unchecked = {"credentials": {"api_key": wrong}, "validate_credentials": False}
    trusting = DifyPluginProvider("echo", echo_options(**unchecked))
    await trusting.start()
    with pytest.raises(CredentialsError, match="they are refused"):
        await answer(trusting, "hello")
    await trusting.close()


ADDED: Mapping[str, Any] = {
    "mine": {"credentials": {"api_key": KEY, "context_size": 512}},
    "other": {"model_properties": {"context_size": 99}},
    "echo-small": {"deprecated": True},
}


async def test_added_models_are_described_by_the_plugin() -> None:
    provider = DifyPluginProvider("echo", echo_options(models=ADDED))
    assert provider.facts(ModelType.LLM, "mine").fetch_from is FetchFrom.CUSTOMIZABLE_MODEL
    await provider.start()
    mine = provider.facts(ModelType.LLM, "mine")
    other = provider.facts(ModelType.LLM, "other")
    assert mine.label.en_US == "mine, added"
    assert mine.model_properties[ModelPropertyKey.CONTEXT_SIZE] == 512
    # What the operator says counts; the rest is the plugin's.
    assert other.model_properties[ModelPropertyKey.CONTEXT_SIZE] == 99
    assert other.model_properties[ModelPropertyKey.MODE] == "chat"
    assert provider.facts(ModelType.LLM, "echo-small").deprecated
    assert (await answer(provider, "hello", model="mine")).delta.message.content == "hello"
    await provider.close()


async def test_the_credentials_of_an_added_model_are_validated() -> None:
    models = {"mine": {"credentials": {"api_key": "wrong"}}}
    provider = DifyPluginProvider("echo", echo_options(credentials={}, models=models))
    # Without credentials of the provider its own models are not there.
    assert [model.model for model in provider.models()] == ["mine"]
    with pytest.raises(CredentialsError, match="Incorrect API key") as caught:
        await provider.start()
    assert caught.value.model == "mine"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"credentials": {}}, "api_key is missing"),
        ({"credentials": {"api_key": "k", "key": "k"}}, "there is no key; there are: api_key, reg"),
        ({"credentials": {"api_key": "k", "region": "x"}}, "region must be one of: north, south"),
        ({"models": {"m": {"model_type": "text2img"}}}, "must be one of: llm, moderation"),
        ({"models": {"m": {"credentials": {}}}}, "api_key is missing"),
        ({"models": {"m": {"colour": 1}}}, "no such field"),
        ({"provider": "nobody"}, "no provider of models called 'nobody'; it has: echo"),
        ({"path": "/no/such/plugin"}, r"providers\.echo\.path: /no/such/plugin"),
        ({"processes": 0}, r"providers\.echo\.processes"),
        ({"colour": 1}, r"providers\.echo\.colour: no such option"),
    ],
)
def test_a_wrong_table_is_told_before_anything_runs(
    options: Mapping[str, Any], problem: str
) -> None:
    with pytest.raises((CredentialsError, InvalidConfigurationError), match=problem):
        DifyPluginProvider("echo", echo_options(**options))


def children() -> set[int]:
    """Return the ids of the plugin's processes, children of the test process."""
    found: set[int] = set()
    for path in Path("/proc").glob("[0-9]*"):
        try:
            fields = (path / "stat").read_text().rpartition(")")[2].split()
            folder = (path / "cwd").readlink()
        except OSError:
            continue
        if int(fields[1]) == os.getpid() and fields[0] != "Z" and folder == ECHO:
            found.add(int(path.name))
    return found


def read_proc(pid: int, name: str) -> bytes:
    return Path(f"/proc/{pid}/{name}").read_bytes()


if sys.platform != "linux":
    pytest.skip("looks at processes by /proc", allow_module_level=True)
