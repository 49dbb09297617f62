"""Moderation: true if any piece is sensitive, and never false for an unread piece."""

import asyncio
from typing import Any, cast

import pytest

from invokeq.protocol.errors import (
    ModelNotFoundError,
    ProviderUnavailableError,
    UnusableAnswerError,
)
from invokeq.protocol.requests import ModerationRequest
from invokeq_providers.base import ModerationCall
from invokeq_providers.calls.moderation import CONCURRENCY
from invokeq_providers.scripted import ScriptedProvider
from tests.support.calls import Bench, Gate

SMALL = {"models": {"words": {"model_properties": {"max_characters_per_chunk": 20}}}}


def request(text: str, model: str = "words") -> ModerationRequest:
    return ModerationRequest(provider="scripted", model=model, text=text)


async def verdict(text: str, options: dict[str, Any] | None = None) -> bool:
    value = await Bench(options).result(request(text))
    assert value.keys() == {"result"}
    return value["result"]


async def test_true_means_sensitive() -> None:
    assert await verdict("an ATTACK!") is True
    assert await verdict("a walk") is False


async def test_the_plan_names_the_words() -> None:
    assert await verdict("пароль тут", {"moderation": {"flagged_words": ["ПАРОЛЬ"]}}) is True


@pytest.mark.parametrize("place", [0, 1, 2, 5])
async def test_one_piece_makes_the_whole_sensitive(place: int) -> None:
    sentences = ["Nothing to see here."] * 6
    assert await verdict(" ".join(sentences), SMALL) is False
    sentences[place] = "We attack at dawn."
    assert await verdict(" ".join(sentences), SMALL) is True


async def test_pieces_are_judged_side_by_side_within_a_bound() -> None:
    bench = Bench(SMALL)
    gate = Gate(bench.scripted)
    task = asyncio.create_task(bench.outputs(request("Nothing to see now. " * 12)))
    await gate.reached(CONCURRENCY - 1)
    assert len(gate.steps) == CONCURRENCY
    gate.let_through(*range(12))
    await task
    assert (bench.peak, bench.heard) == (CONCURRENCY, 12)
    assert (
        "".join(text for step in gate.steps for text in step.texts) == "Nothing to see now. " * 12
    )


async def test_a_word_is_not_cut_in_two() -> None:
    assert await verdict("aaaa bbbb cccc dd attack", SMALL) is True


async def test_a_sensitive_piece_spares_the_rest() -> None:
    bench = Bench({**SMALL, "moderation": {"hang_at": 1}})
    value = await bench.result(request("We attack at dawn. " + "Nothing to see here. " * 2))
    assert value == {"result": True}
    assert "closed:1" in bench.events


@pytest.mark.parametrize("place", [0, 2])
async def test_a_fault_is_an_error_never_false(place: int) -> None:
    with pytest.raises(ProviderUnavailableError):
        await verdict("Nothing to see here. " * 4, {**SMALL, "moderation": {"fail_at": place}})


class Forgetful(ScriptedProvider):
    """Forgets to answer, as a provider without types may."""

    async def moderation(self, call: ModerationCall) -> bool:
        return cast(bool, None)


async def test_no_verdict_is_an_error() -> None:
    bench = Bench(provider=Forgetful("scripted", {}))
    with pytest.raises(UnusableAnswerError, match="NoneType, neither true nor false"):
        await bench.outputs(request("a"))


async def test_white_space_is_judged_too() -> None:
    bench = Bench()
    assert await bench.result(request(" \n ")) == {"result": False}
    assert "started:0:1" in bench.events


async def test_a_model_without_a_bound_gets_the_text_whole() -> None:
    properties = {"max_characters_per_chunk": 0}
    bench = Bench({"models": {"words": {"model_properties": properties}}})
    await bench.outputs(request("Nothing to see here. " * 1000))
    assert bench.events == ["started:0:1", "finished:0"]


async def test_an_unknown_model_is_an_error() -> None:
    with pytest.raises(ModelNotFoundError):
        await Bench().outputs(request("a", model="nope"))
