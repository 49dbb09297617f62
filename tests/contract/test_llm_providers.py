"""One suite over every LLM provider, and peculiarities of vendors' APIs."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest

from invokeq.protocol.entities import LLMResultChunk, PromptMessageTool
from invokeq.protocol.errors import (
    CredentialsError,
    InvalidParameterError,
    InvalidRequestError,
    InvokeqError,
    ModelNotFoundError,
    ProviderSilenceError,
    ProviderUnavailableError,
    RateLimitedError,
    RejectedByProviderError,
)
from invokeq.protocol.requests import LLMRequest
from invokeq_providers import LLMCall, Provider, prepare_llm
from invokeq_providers.anthropic import AnthropicProvider
from invokeq_providers.chat.collect import collect
from invokeq_providers.chunks import as_entity
from invokeq_providers.cohere import CohereProvider
from invokeq_providers.dify_plugin import DifyPluginProvider
from invokeq_providers.local import LocalProvider
from invokeq_providers.openai import OpenAIProvider
from invokeq_providers.scripted import ScriptedProvider
from invokeq_worker.config.retry_policy import RetryPolicy
from invokeq_worker.vendor.retrying import RetryingProvider
from invokeq_worker.vendor.vendor_calls import VendorCalls
from tests.contract.vendors import (
    ANSWER,
    WEATHER_CALLS,
    Aimock,
    Relay,
    relay_to,
)
from tests.support.dify.plugins import echo_options
from tests.support.waiting import eventually_async

WEATHER = PromptMessageTool(
    name="weather",
    description="Tells the weather.",
    parameters={"type": "object", "properties": {"city": {"type": "string"}}},
)
PLAIN_MODEL: dict[str, Any] = {"plain": {"like": "gpt-4o", "features": []}}

_numbers = count(1)


@dataclass
class Target:
    """A provider under test, and a request with a long enough answer."""

    provider: Provider
    model: str
    question: str
    slow_question: str
    parameters: dict[str, Any] = field(default_factory=dict[str, Any])
    exact: bool = True
    """Whether the same question always has the same answer, letter by letter."""
    mock: bool = False
    """Whether the answer is fixed beforehand, whatever the parameters."""
    gone: Callable[[str], bool] = lambda _: True
    """Whether the source of the answer to a request id has seen the reader leave."""


def call(
    target: Target,
    text: str | None = None,
    *,
    messages: Sequence[Mapping[str, Any]] | None = None,
    parameters: Mapping[str, Any] | None = None,
    **request: Any,
) -> LLMCall:
    """Prepare a call as the worker does."""
    said = messages or [{"role": "user", "content": text or target.question}]
    given = {
        "provider": target.provider.name,
        "model": target.model,
        "prompt_messages": said,
        "completion_params": target.parameters if parameters is None else parameters,
        **request,
    }
    request_id = f"{next(_numbers):032x}"
    return prepare_llm(LLMRequest.model_validate(given), target.provider, request_id=request_id)


async def chunks_of(target: Target, prepared: LLMCall) -> list[LLMResultChunk]:
    """Take a whole answer."""
    async with aclosing(target.provider.llm(prepared)) as chunks:
        return [as_entity(chunk) async for chunk in chunks]


def text_of(chunks: Sequence[LLMResultChunk]) -> str:
    """Join the texts of chunks."""
    return "".join(chunk.delta.message.get_text_content() for chunk in chunks)


@pytest.fixture
async def scripted_target() -> AsyncGenerator[Target, None]:
    provider = ScriptedProvider("scripted", {})

    def gone(request_id: str) -> bool:
        return "closed" in ScriptedProvider.events(request_id)

    yield Target(provider, "echo", ANSWER, ANSWER, gone=gone)
    await provider.close()


@pytest.fixture
async def local_target() -> AsyncGenerator[Target, None]:
    provider = LocalProvider("local", {"context_size": 1024})
    await provider.start()
    yield Target(
        provider,
        "smollm2",
        "Name three colours.",
        "Tell me a very long story.",
        parameters={"max_tokens": 12, "temperature": 0},
        exact=False,
        gone=lambda _: not provider.busy,
    )
    await provider.close()


def _mocked(provider: Provider, model: str, relay: Relay) -> Target:
    return Target(provider, model, "count", "slowly", mock=True, gone=lambda _: relay.open == 0)


@pytest.fixture
async def aimock_relay(aimock: Aimock) -> AsyncGenerator[Relay, None]:
    async with relay_to(aimock.base_url) as relay:
        yield relay


@pytest.fixture
async def aimock_target(aimock_relay: Relay) -> AsyncGenerator[Target, None]:
    options: dict[str, Any] = {"base_url": aimock_relay.base_url, "any_model": False}
    provider = OpenAIProvider("openai", {**options, "api_key": "sk-x", "models": PLAIN_MODEL})
    yield _mocked(provider, "gpt-4o", aimock_relay)
    await provider.close()


@pytest.fixture
async def anthropic_target(aimock: Aimock) -> AsyncGenerator[Target, None]:
    async with relay_to(aimock.url) as relay:
        options = {"base_url": relay.base_url, "any_model": False}
        provider = AnthropicProvider("anthropic", options)
        yield _mocked(provider, "claude-haiku-4-5", relay)
        await provider.close()


@pytest.fixture
async def cohere_target(aimock: Aimock) -> AsyncGenerator[Target, None]:
    async with relay_to(aimock.url) as relay:
        provider = CohereProvider("cohere", {"base_url": relay.base_url, "any_model": False})
        yield _mocked(provider, "command-a-03-2025", relay)
        await provider.close()


@pytest.fixture
async def llama_target(llama_url: str) -> AsyncGenerator[Target, None]:
    # The server closes after every stream a connection that it said it would keep: as in a worker,
    # a call that meets one is made again.
    calls = VendorCalls("contract", lambda _: RetryPolicy(), None, lambda _: None)
    async with relay_to(llama_url) as relay:
        vendor = OpenAIProvider("llama", {"base_url": relay.base_url})
        provider = RetryingProvider(vendor, calls)
        yield Target(
            provider,
            "smollm2",
            "Name three colours.",
            "Tell me a very long story.",
            parameters={"max_tokens": 12, "temperature": 0},
            exact=False,
            gone=lambda _: relay.open == 0,
        )
        await provider.close()


@pytest.fixture
async def plugin_target() -> AsyncGenerator[Target, None]:
    provider = DifyPluginProvider("plugin", echo_options())
    await provider.start()
    yield Target(
        provider,
        "echo-large",
        ANSWER,
        "one two wait",
        parameters={"max_tokens": 200},
        # What can be seen from here: the session is over. The plugin's thread is not.
        gone=lambda _: provider.sessions == 0,
    )
    await provider.close()


@pytest.fixture(
    params=[
        "scripted_target",
        "plugin_target",
        pytest.param("local_target", marks=pytest.mark.local_model),
        pytest.param("aimock_target", marks=pytest.mark.aimock),
        pytest.param("anthropic_target", marks=pytest.mark.aimock),
        pytest.param("cohere_target", marks=pytest.mark.aimock),
        pytest.param("llama_target", marks=pytest.mark.local_model),
    ],
    ids=lambda name: str(name).removesuffix("_target"),
)
def target(request: pytest.FixtureRequest) -> Target:
    return request.getfixturevalue(request.param)


async def test_streams_text_then_usage(target: Target) -> None:
    chunks = await chunks_of(target, call(target))
    *before, last = chunks
    assert len([chunk for chunk in before if chunk.delta.message.content]) > 1
    assert text_of(chunks).strip()
    assert [chunk.delta.index for chunk in chunks] == list(range(len(chunks)))
    assert all(chunk.delta.usage is None for chunk in before)
    assert all(chunk.delta.finish_reason is None for chunk in before)
    assert all(chunk.model == target.model for chunk in chunks)
    usage = last.delta.usage
    assert usage is not None
    assert usage.prompt_tokens > 0
    assert usage.completion_tokens > 0
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert usage.latency > 0
    assert last.delta.finish_reason in {"stop", "length"}


async def test_answers_in_one_chunk_unless_streamed(target: Target) -> None:
    streamed = await chunks_of(target, call(target))
    whole = [collect(await chunks_of(target, call(target, stream=False)))]
    assert whole[0].delta.index == 0
    assert whole[0].delta.usage is not None
    assert text_of(whole).strip()
    if target.exact:
        assert text_of(whole) == text_of(streamed)


async def test_one_chunk_comes_from_a_provider_that_is_not_asked_to_stream(target: Target) -> None:
    if target.provider.name in {"anthropic", "cohere", "scripted"}:
        pytest.skip("it streams whatever it is asked; collect() makes one chunk of it")
    assert len(await chunks_of(target, call(target, stream=False))) == 1


async def test_takes_every_role(target: Target) -> None:
    messages = [
        {"role": "system", "content": "You are terse."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hello!"},
        {"role": "user", "content": [{"type": "text", "data": target.question}]},
    ]
    assert text_of(await chunks_of(target, call(target, messages=messages))).strip()


async def test_keeps_unicode_whole(target: Target) -> None:
    text = text_of(await chunks_of(target, call(target)))
    if target.exact:
        assert text == ANSWER
    messages = [{"role": "user", "content": "Repeat: 🌍🌍🌍 世界"}]
    if not target.exact:
        answer = text_of(await chunks_of(target, call(target, messages=messages)))
        assert "\ufffd" not in answer
        assert answer.encode()


async def test_stops_at_a_stop_word(target: Target) -> None:
    if target.mock:
        pytest.skip("aimock does not look at stop words; other tests see them arrive")
    text = text_of(await chunks_of(target, call(target)))
    word = text.split()[1]
    stopped = await chunks_of(target, call(target, stop=[word]))
    assert text_of(stopped).strip() == text[: text.index(word)].strip()
    assert stopped[-1].delta.finish_reason == "stop"


async def test_closing_the_stream_reaches_its_source(target: Target) -> None:
    # Without a bound on tokens, so that the answer cannot be over before it is closed.
    parameters = {"max_tokens": 900} if target.parameters else {"rate": 20}
    prepared = call(target, target.slow_question, parameters=parameters)
    chunks = target.provider.llm(prepared)
    await anext(chunks)
    await chunks.aclose()
    await eventually_async("it stops", lambda: target.gone(prepared.request_id))


async def test_cancelling_the_task_reaches_the_source(target: Target) -> None:
    parameters = {"max_tokens": 900} if target.parameters else {"rate": 20}
    prepared = call(target, target.slow_question, parameters=parameters)
    started = asyncio.Event()

    async def consume() -> None:
        async with aclosing(target.provider.llm(prepared)) as chunks:
            async for _ in chunks:
                started.set()

    task = asyncio.create_task(consume())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await eventually_async("it stops", lambda: target.gone(prepared.request_id))


async def test_calls_run_beside_each_other(target: Target) -> None:
    answers = await asyncio.gather(*(chunks_of(target, call(target)) for _ in range(3)))
    assert all(text_of(answer).strip() for answer in answers)


async def test_refuses_a_model_that_is_not_there(target: Target) -> None:
    if target.provider.name == "llama":
        pytest.skip("a server behind base_url may have any model")
    with pytest.raises(ModelNotFoundError, match=rf"it has: .*{target.model}") as caught:
        call(target, model="no-such-model")
    assert caught.value.model == "no-such-model"


async def test_refuses_a_parameter_out_of_range(target: Target) -> None:
    with pytest.raises(InvalidParameterError, match=r"temperature .* must be at most") as caught:
        call(target, parameters={"temperature": 9})
    assert caught.value.parameter == "temperature"
    assert caught.value.provider == target.provider.name
    assert caught.value.model == target.model


@pytest.mark.local_model
async def test_a_prompt_over_the_context_names_the_limit(local_target: Target) -> None:
    with pytest.raises(InvalidRequestError, match="1024") as caught:
        await chunks_of(local_target, call(local_target, "word " * 1500))
    assert caught.value.field == "prompt_messages"


@pytest.mark.local_model
async def test_the_local_model_always_has_a_bound(local_target: Target) -> None:
    assert call(local_target, parameters={}).parameters["max_tokens"] == 256


@pytest.mark.local_model
async def test_a_call_that_leaves_the_queue_never_starts(local_target: Target) -> None:
    parameters = {"max_tokens": 900}
    running = local_target.provider.llm(
        call(local_target, local_target.slow_question, parameters=parameters)
    )
    await anext(running)
    queued = asyncio.create_task(chunks_of(local_target, call(local_target)))
    behind = asyncio.create_task(chunks_of(local_target, call(local_target)))
    await asyncio.wait([queued], timeout=0)
    queued.cancel()
    await running.aclose()
    assert text_of(await behind).strip()
    assert queued.cancelled()


async def test_tools_do_not_reach_a_scripted_model_without_the_feature() -> None:
    scripted = Target(ScriptedProvider("scripted", {}), "no-tools", "hello", "")
    without = call(scripted, tools=[WEATHER])
    assert text_of(await chunks_of(scripted, without)) == "hello"
    assert ScriptedProvider.events(without.request_id) == ["started", "finished"]
    having = call(scripted, tools=[WEATHER], model="tools")
    last = (await chunks_of(scripted, having))[-1]
    assert "tools:weather" in ScriptedProvider.events(having.request_id)
    assert [c.function.name for c in last.delta.message.tool_calls] == ["weather"]


@pytest.mark.aimock
async def test_tools_do_not_reach_a_vendor_without_the_feature(
    aimock_target: Target, aimock: Aimock
) -> None:
    await chunks_of(aimock_target, call(aimock_target, tools=[WEATHER], model="plain"))
    await chunks_of(aimock_target, call(aimock_target, tools=[WEATHER]))
    without, having = aimock.bodies()
    assert "tools" not in without
    assert having["tools"] == [{"type": "function", "function": WEATHER.model_dump()}]


@pytest.mark.aimock
@pytest.mark.parametrize("fragments", [False, True])
@pytest.mark.parametrize("stream", [False, True])
async def test_tool_calls_come_out_whole(aimock: Aimock, fragments: bool, stream: bool) -> None:
    options = {"base_url": aimock.base_url, "tool_call_fragments": fragments}
    target = Target(OpenAIProvider("openai", options), "gpt-4o", "weather", "")
    chunks = await chunks_of(target, call(target, tools=[WEATHER], stream=stream))
    await target.provider.close()
    speaking = [chunk for chunk in chunks if chunk.delta.message.tool_calls]
    assert (len(speaking) > 1) == (fragments and stream)
    assert chunks[-1].delta.finish_reason == "tool_calls"
    calls = collect(chunks).delta.message.tool_calls
    assert len({one.id for one in calls}) == len(WEATHER_CALLS)
    assert [one.function.name for one in calls] == ["weather", "weather"]
    cities = [one.function.arguments.replace(" ", "") for one in calls]
    assert cities == [
        '{"city":"Oslo","unit":"celsius"}',
        '{"city":"Bergen","unit":"celsius"}',
    ]


@pytest.mark.aimock
async def test_reasoning_is_wrapped_as_thoughts(aimock_target: Target) -> None:
    streamed = await chunks_of(aimock_target, call(aimock_target, "think", model="o3"))
    whole = await chunks_of(aimock_target, call(aimock_target, "think", model="o3", stream=False))
    assert text_of(streamed) == text_of(whole) == "<think>\nsix times seven\n</think>42"


@pytest.mark.aimock
async def test_the_vendor_gets_what_the_caller_said(aimock_target: Target, aimock: Aimock) -> None:
    parameters = {
        "temperature": 0.5,
        "max_tokens": 9.0,
        "response_format": "json_schema",
        "json_schema": '{"type": "object"}',
        "nonsense": 1,
    }
    prepared = call(aimock_target, parameters=parameters, stop=["END"])
    await chunks_of(aimock_target, prepared)
    body = aimock.bodies()[0]
    assert body["temperature"] == 0.5
    assert body["max_tokens"] == 9
    assert body["stop"] == ["END"]
    assert body["response_format"]["json_schema"]["schema"] == {"type": "object"}
    assert body["stream_options"] == {"include_usage": True}
    assert "nonsense" not in body
    assert prepared.ignored_parameters == ["nonsense"]


@pytest.mark.aimock
async def test_max_tokens_has_another_name_for_reasoning_models(
    aimock_target: Target, aimock: Aimock
) -> None:
    await chunks_of(aimock_target, call(aimock_target, parameters={"max_tokens": 50}, model="o3"))
    body = aimock.bodies()[0]
    assert body["max_completion_tokens"] == 50
    assert "max_tokens" not in body


@pytest.mark.aimock
async def test_prices_come_from_the_facts(aimock_target: Target) -> None:
    usage = (await chunks_of(aimock_target, call(aimock_target)))[-1].delta.usage
    assert usage is not None
    assert usage.prompt_unit_price * usage.prompt_price_unit * 1_000_000 == usage.prompt_unit_price
    assert usage.total_price == usage.prompt_price + usage.completion_price > 0


@pytest.mark.usefixtures("http")
@pytest.mark.aimock
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("said", "error", "fields"),
    [
        ("limit", RateLimitedError, {"retry_after": 7.0, "retryable": True}),
        ("money", CredentialsError, {"retryable": False}),
        ("refused", CredentialsError, {"retryable": False}),
        ("overload", ProviderUnavailableError, {"retryable": True, "status": 503}),
        ("wrong", RejectedByProviderError, {"retryable": False, "status": 400}),
    ],
)
async def test_a_refusal_becomes_an_error_of_ours(
    aimock_target: Target,
    said: str,
    error: type[InvokeqError],
    fields: dict[str, Any],
    stream: bool,
) -> None:
    with pytest.raises(error) as caught:
        await chunks_of(aimock_target, call(aimock_target, said, stream=stream))
    assert {name: getattr(caught.value, name) for name in fields} == fields
    assert caught.value.provider == "openai"
    assert caught.value.model == "gpt-4o"
    assert "sk-" not in str(caught.value)


@pytest.mark.usefixtures("http")
@pytest.mark.aimock
async def test_an_answer_that_breaks_off_is_an_error(aimock_target: Target) -> None:
    taken: list[LLMResultChunk] = []

    async def consume() -> None:
        async with aclosing(aimock_target.provider.llm(call(aimock_target, "broken"))) as chunks:
            async for chunk in chunks:
                taken.append(as_entity(chunk))  # noqa: PERF401  a comprehension would lose them

    with pytest.raises(ProviderUnavailableError) as caught:
        await consume()
    assert taken
    assert caught.value.chunks == len(taken)


@pytest.mark.usefixtures("http")
@pytest.mark.aimock
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("rate", ["disconnectRate", "malformedRate", "dropRate"])
async def test_a_vendor_gone_mad_is_an_error(
    aimock_target: Target, aimock: Aimock, rate: str, stream: bool
) -> None:
    aimock.chaos(**{rate: 1.0})
    with pytest.raises(ProviderUnavailableError):
        await chunks_of(aimock_target, call(aimock_target, stream=stream))


@pytest.mark.aimock
async def test_the_rate_limit_of_chaos_has_a_time(aimock_target: Target, aimock: Aimock) -> None:
    aimock.chaos(rateLimitRate=1.0)
    with pytest.raises(RateLimitedError) as caught:
        await chunks_of(aimock_target, call(aimock_target))
    assert caught.value.retry_after is not None


@pytest.mark.usefixtures("http")
@pytest.mark.aimock
async def test_a_silent_vendor_is_given_up(aimock: Aimock) -> None:
    options = {"base_url": aimock.base_url, "read_timeout": 0.2}
    target = Target(OpenAIProvider("openai", options), "gpt-4o", "never", "")
    with pytest.raises(ProviderSilenceError, match=r"0\.2 s"):
        await chunks_of(target, call(target))
    await target.provider.close()


@pytest.mark.usefixtures("http")
async def test_a_vendor_that_is_not_there_is_unavailable(unused_tcp_port: int) -> None:
    options = {"base_url": f"http://127.0.0.1:{unused_tcp_port}/v1"}
    target = Target(OpenAIProvider("openai", options), "gpt-4o", "hello", "")
    with pytest.raises(ProviderUnavailableError) as caught:
        await chunks_of(target, call(target))
    assert caught.value.retryable
    await target.provider.close()


@pytest.mark.usefixtures("http")
@pytest.mark.aimock
async def test_closing_a_stream_closes_its_connection(
    aimock_target: Target, aimock_relay: Relay
) -> None:
    chunks = aimock_target.provider.llm(call(aimock_target, "slowly"))
    await anext(chunks)
    assert aimock_relay.open == 1
    await chunks.aclose()
    await eventually_async("the connection is closed", lambda: aimock_relay.open == 0)


@pytest.mark.usefixtures("http")
@pytest.mark.aimock
async def test_connections_are_used_again(aimock_target: Target, aimock_relay: Relay) -> None:
    for _ in range(3):
        await chunks_of(aimock_target, call(aimock_target))
    assert aimock_relay.seen == 1


def test_a_missing_key_is_named() -> None:
    with pytest.raises(CredentialsError, match=r"api_key in \[providers\.work\]"):
        OpenAIProvider("work", {})


@pytest.mark.aimock
async def test_no_key_of_the_environment_goes_to_another_server(
    aimock: Aimock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-environment")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-of-the-environment")
    target = Target(OpenAIProvider("openai", {"base_url": aimock.base_url}), "x", "count", "")
    await chunks_of(target, call(target))
    await target.provider.close()
    assert "of-the-environment" not in str(aimock.headers())
