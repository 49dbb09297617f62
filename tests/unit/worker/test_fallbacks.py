"""Models that stand in for others: what they are given, and which ones never can."""

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from invokeq.protocol.entities import UserPromptMessage
from invokeq.protocol.errors import (
    InvokeqError,
    PermissionDeniedError,
    ProviderUnavailableError,
)
from invokeq.protocol.requests import (
    CallRequest,
    LLMRequest,
    ModelRequest,
    SummaryRequest,
    TextEmbeddingRequest,
)
from invokeq_providers.base import Provider
from invokeq_providers.calls import Output, Services
from invokeq_providers.chunks import LLMChunk
from invokeq_providers.registry import find_provider
from invokeq_providers.scripted import ScriptedProvider
from invokeq_worker.config.loading import read_settings
from invokeq_worker.config.retry_policy import RetryPolicy
from invokeq_worker.config.settings import Settings
from invokeq_worker.config.values import Fallbacks, ModelRef
from invokeq_worker.vendor.fallbacks import check_fallbacks, serve_with_fallbacks
from invokeq_worker.vendor.retrying import RetryingProvider
from invokeq_worker.vendor.vendor_calls import FailedCall, VendorCalls

ONCE = RetryPolicy(calls=1)
ECHO = LLMRequest(
    provider="langgenius/bad/bad",
    model="echo",
    prompt_messages=[UserPromptMessage(content="hello")],
    completion_params={"temperature": 0.5},
)


class Turns:
    """Providers `bad`, which fails, and `good`; and what was told of failed calls."""

    def __init__(self, **bad: object) -> None:
        self.told: list[FailedCall] = []
        self.denied: set[str] = set()
        self.ignored: list[tuple[str, str, list[str]]] = []
        self.providers: Mapping[str, Provider] = {
            "bad": ScriptedProvider("bad", {"fail_after": 0, **bad}),
            "good": ScriptedProvider("good", {}),
        }

    async def said(
        self, request: CallRequest, *others: ModelRef, policy: RetryPolicy = ONCE
    ) -> list[Output]:
        calls = VendorCalls("r", lambda _: policy, None, self.told.append, lambda: 0.0)
        services = Services(
            request_id="r",
            user=None,
            provider=lambda name: RetryingProvider(find_provider(self.providers, name), calls),
            file=None,
            summary_model="bad/echo",
            heartbeat=lambda: None,
            ignored=self._note,
        )
        asked = getattr(request, "model", "echo")
        fallbacks: Fallbacks = {ModelRef("bad", asked): others}
        turns = serve_with_fallbacks(request, services, fallbacks, calls, self._check)
        async with aclosing(turns) as pieces:
            return [piece async for piece in pieces]

    def _note(self, provider: str, model: str, parameters: Sequence[str]) -> None:
        self.ignored.append((provider, model, list(parameters)))

    def _check(self, request: CallRequest) -> None:
        if isinstance(request, ModelRequest) and request.model in self.denied:
            raise PermissionDeniedError(problem="no")


async def test_a_fallback_gets_the_request_by_its_own_facts() -> None:
    """`echo` has no rule for `tool_calls`: they are left out, and that is noted."""
    turns = Turns()
    request = ECHO.model_copy(update={"model": "tools", "completion_params": {"tool_calls": "[]"}})
    pieces = await turns.said(request, ModelRef("good", "echo"))
    assert all(isinstance(piece, LLMChunk) and piece.model == "echo" for piece in pieces)
    assert turns.ignored == [("bad", "tools", []), ("good", "echo", ["tool_calls"])]
    assert [str(told.next) for told in turns.told] == ["good/echo"]


async def test_one_that_cannot_take_the_request_is_passed_over() -> None:
    turns = Turns()
    turns.denied = {"stream"}
    others = (ModelRef("good", "stream"), ModelRef("good", "nothing"), ModelRef("good", "echo"))
    pieces = await turns.said(ECHO, *others)
    assert pieces
    assert [told.error.code for told in turns.told] == [
        "provider_unavailable",
        "permission_denied",
        "model_not_found",
    ]


async def test_the_error_is_that_of_the_model_that_was_asked_for_and_tells_what_was_tried() -> None:
    turns = Turns()
    with pytest.raises(ProviderUnavailableError) as caught:
        await turns.said(ECHO, ModelRef("bad", "stream"), policy=RetryPolicy(calls=2, base=0.001))
    error = caught.value
    assert (error.provider, error.model) == ("bad", "echo")
    assert (error.calls, error.tried) == (4, ["bad/stream"])
    assert str(error).count("after 4 vendor calls") == 1
    assert [told.call for told in turns.told] == [1, 2, 3, 4]
    assert [str(told.next) for told in turns.told] == [
        "bad/echo",
        "bad/stream",
        "bad/stream",
        "None",
    ]


async def test_a_summary_falls_back_as_a_whole() -> None:
    (result,) = await Turns().said(SummaryRequest(text="a long text"), ModelRef("good", "echo"))
    assert not isinstance(result, LLMChunk)


async def test_a_request_at_fault_stays_at_fault() -> None:
    turns = Turns()
    wrong = ECHO.model_copy(update={"completion_params": {"temperature": 99}})
    with pytest.raises(InvokeqError) as caught:
        await turns.said(wrong, ModelRef("good", "echo"))
    assert caught.value.code == "invalid_parameter"
    assert "calls" not in caught.value.fields  # nobody was called
    assert turns.told == []


async def test_vectors_of_another_model_stand_for_nothing() -> None:
    """A batch fails: `hash-vision` would answer, but its vectors are not those of `hash`."""
    failing = {"embedding": {"fail_at": 0}}
    request = TextEmbeddingRequest(provider="bad", model="hash", texts=["a"])
    with pytest.raises(ProviderUnavailableError):
        await Turns(**failing).said(request, ModelRef("good", "hash-vision"))
    assert await Turns(**failing).said(request, ModelRef("good", "hash"))


def problems(directory: Path, fallbacks: str) -> list[str]:
    path = directory / "invokeq.toml"
    path.write_text(
        f"[fallbacks]\n{fallbacks}\n[providers.scripted]\n[providers.two]\ntype = 'scripted'\n"
        '[pools.main]\nqueues = ["llm.scripted"]\n'
    )
    settings = read_settings(path, {})
    if not isinstance(settings, Settings):
        return [str(error).partition(": ")[2] for error in settings]
    providers: dict[str, Any] = {
        name: ScriptedProvider(name, {}) for name in settings.provider_tables()
    }
    found = check_fallbacks(settings.fallback_models(), providers, settings.source)
    return [str(error).partition(": ")[2] for error in found]


@pytest.mark.parametrize(
    ("fallbacks", "problem"),
    [
        ('"scripted/echo" = ["two/echo", "scripted/stream"]', None),
        ('"scripted/hash" = ["two/hash"]', None),
        ('"echo" = ["two/echo"]', "must be provider/model"),
        ('"scripted/echo" = []', "must not be empty"),
        ('"scripted/echo" = "two/echo"', "must be a list"),
        ('"scripted/echo" = ["tow/echo"]', "tow/echo names no configured provider; did you mean"),
        ('"scripte/echo" = ["two/echo"]', "scripte/echo names no configured provider"),
        ('"scripted/echo" = ["two/echo", "two/echo"]', "names two/echo twice"),
        ('"scripted/echo" = ["scripted/echo"]', "is the model that it stands in for"),
        ('"scripted/echo" = ["two/hash"]', "two/hash is no model that there is for llm"),
        ('"scripted/echo" = ["two/nothing"]', "two/nothing is no model that there is for llm"),
        ('"scripted/nothing" = ["two/echo"]', "scripted has no model nothing"),
        ('"scripted/hash" = ["two/hash-vision"]', "vectors of two/hash-vision cannot stand"),
    ],
)
def test_lists_that_cannot_work_are_found_before_they_are_needed(
    tmp_path: Path, fallbacks: str, problem: str | None
) -> None:
    found = problems(tmp_path, fallbacks)
    assert len(found) == (problem is not None), found
    if problem is not None:
        assert found[0].startswith("fallbacks")
        assert problem in found[0]


def test_a_pool_has_the_providers_that_stand_in_for_its_own(tmp_path: Path) -> None:
    path = tmp_path / "invokeq.toml"
    path.write_text(
        '[fallbacks]\n"one/a/b" = ["two/c"]\n"three/x" = ["four/y"]\n'
        + "".join(f"[providers.{name}]\n" for name in ("one", "two", "three", "four"))
        + '[pools.main]\nqueues = ["llm.one"]\n'
    )
    settings = read_settings(path, {})
    assert isinstance(settings, Settings)
    assert settings.fallback_models()[ModelRef("one", "a/b")] == [ModelRef("two", "c")]
    assert settings.provider_tables("main").keys() == {"one"}
    assert settings.needed_tables("main").keys() == {"one", "two"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[retries]\ncalls = 0", "retries.calls: must be at least 1"),
        ("[retries]\nbase = 2\ncap = 1", "retries: cap must be at least base, which is 2"),
        ("[retries.providers.local]\nbase = 30", "retries: cap must be at least base"),
        ("[retries]\nattempts = 2", "retries.attempts: no such setting"),
    ],
)
def test_retries_that_make_no_sense(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "invokeq.toml"
    path.write_text(text)
    found = read_settings(path, {})
    assert not isinstance(found, Settings)
    assert problem in str(found[0])


def test_a_provider_may_have_its_own_retries(tmp_path: Path) -> None:
    path = tmp_path / "invokeq.toml"
    path.write_text("[retries]\ncalls = 2\n[retries.providers.local]\ncap = 40\n")
    settings = read_settings(path, {})
    assert isinstance(settings, Settings)
    assert settings.retries.policy_of("local") == RetryPolicy(calls=2, cap=40.0)
    assert settings.retries.policy_of("other") == RetryPolicy(calls=2)
