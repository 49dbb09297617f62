"""Summaries: never empty, cut by tokens, concurrent, repeated until the result fits."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

import pytest

from invokeq.protocol.entities import LLMResultChunk, LLMUsage
from invokeq.protocol.errors import (
    InvalidConfigurationError,
    InvalidRequestError,
    ProviderUnavailableError,
    UnusableAnswerError,
)
from invokeq.protocol.requests import SummaryRequest
from invokeq_providers.base import LLMCall
from invokeq_providers.calls import Result
from invokeq_providers.calls.summary import CONCURRENCY
from invokeq_providers.chunks import last_chunk
from invokeq_providers.models.usage import usage_from_tokens
from invokeq_providers.scripted import ScriptedProvider
from tests.support.calls import Bench

CONTEXT = 1000
LINES = "".join(f"line {n} has six words here\n" for n in range(500))  # 3,000 words


class Reader(ScriptedProvider):
    """A provider that summarises with a function, and records the calls."""

    def __init__(
        self,
        summarise: Callable[[str], str],
        *,
        context: int = CONTEXT,
        counts: bool = True,
        **facts: Any,
    ) -> None:
        properties = {"context_size": context}
        echo = {"model_properties": properties, **facts}
        super().__init__("scripted", {"models": {"echo": echo}, "counts_tokens": counts})
        self.summarise = summarise
        self.calls: list[LLMCall] = []
        self.running = self.most = 0

    @property
    def texts(self) -> list[str]:
        """The texts of the recorded calls."""
        return [_shown(call) for call in self.calls]

    async def llm(self, call: LLMCall) -> AsyncGenerator[LLMResultChunk, None]:
        self.calls.append(call)
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(0)
        self.running -= 1
        text = self.summarise(_shown(call))
        usage = usage_from_tokens(call.facts, 10, 5, 1.0)
        yield last_chunk(call.model, 0, text=text, usage=usage, finish_reason="stop")


def _shown(call: LLMCall) -> str:
    """Return the text of a prompt, without the instructions about the text."""
    return call.prompt_messages[-1].get_text_content().rpartition("\n\n---\n")[0]


def bench(reader: Reader) -> Bench:
    return Bench(provider=reader, summary_model="scripted/echo")


def request(text: str, instruction: str = "") -> SummaryRequest:
    return SummaryRequest(text=text, instruction=instruction)


async def summary(reader: Reader, text: str, instruction: str = "") -> str:
    value: Mapping[str, Any] = await bench(reader).result(request(text, instruction))
    assert value.keys() == {"summary"}
    return value["summary"]


def first_line(text: str) -> str:
    return text.splitlines()[0]


async def test_a_text_that_fits_takes_one_call_and_never_none() -> None:
    reader = Reader(lambda text: f"short: {len(text)}")
    text = "word " * 300
    assert await summary(reader, text) == f"short: {len(text)}"
    assert reader.texts == [text]


async def test_the_answer_to_one_call_is_the_summary_however_long() -> None:
    reader = Reader(lambda _: LINES)
    assert await summary(reader, "word " * 300) == LINES.strip()
    assert len(reader.calls) == 1


async def test_a_long_text_is_cut_between_lines_and_nothing_is_lost() -> None:
    reader = Reader(first_line)
    joined = await summary(reader, LINES)
    pieces = reader.texts
    assert len(pieces) > 1
    assert "".join(pieces) == LINES
    assert all(piece.endswith("here\n") for piece in pieces)
    assert joined == "\n".join(first_line(piece) for piece in pieces)


async def test_pieces_fit_the_context_with_their_answer() -> None:
    reader = Reader(first_line)
    await summary(reader, LINES, "Only numbers, please.")
    asked = [
        sum(len(message.get_text_content().split()) for message in call.prompt_messages)
        for call in reader.calls
    ]
    answers = {call.parameters["max_tokens"] for call in reader.calls}
    assert max(asked) + max(answers) <= CONTEXT
    assert max(asked) > CONTEXT // 2


async def test_summaries_that_do_not_fit_are_summarised_again() -> None:
    reader = Reader(lambda text: " ".join(text.split()[: len(text.split()) // 3]))
    joined = await summary(reader, LINES * 4)
    rounds = len(reader.calls)
    first_round = sum(text.startswith("line") and text.endswith("\n") for text in reader.texts)
    assert rounds > first_round > CONCURRENCY
    assert len(joined.split()) < CONTEXT


async def test_pieces_are_summarised_side_by_side_within_a_bound() -> None:
    reader = Reader(first_line)
    await summary(reader, LINES * 4)
    assert reader.most == CONCURRENCY


async def test_what_does_not_get_shorter_is_an_error_not_a_loop() -> None:
    reader = Reader(lambda text: text)
    with pytest.raises(UnusableAnswerError, match="3000 tokens of text were summarised as 3000"):
        await summary(reader, LINES)
    assert len(reader.calls) < 10


async def test_a_summary_of_nothing_is_an_error() -> None:
    for nothing in ("", " \n", "<think>hm", "<think>hm</think>\n"):
        with pytest.raises(UnusableAnswerError, match="it is empty"):
            await summary(Reader(lambda _, outputs=nothing: outputs), "word " * 300)


async def test_reasoning_is_left_out() -> None:
    reader = Reader(lambda _: "\n<think>\nlong thoughts\n</think>\n\nShort. ")
    assert await summary(reader, "word " * 300) == "Short."


async def test_the_instruction_reaches_the_model() -> None:
    reader = Reader(first_line)
    await summary(reader, "word " * 300, "In {braces}, please.")
    asked = reader.calls[0].prompt_messages[-1].get_text_content()
    assert asked.endswith(" words. In {braces}, please.")
    await summary(reader, "word " * 300)
    assert reader.calls[1].prompt_messages[-1].get_text_content().endswith(" words.")


async def test_an_instruction_that_leaves_no_room_is_an_error() -> None:
    reader = Reader(first_line)
    with pytest.raises(InvalidRequestError, match="is too long") as caught:
        await summary(reader, "a text", "word " * 300)
    assert caught.value.field == "instruction"
    assert reader.calls == []


async def test_parameters_obey_the_rules_of_the_model() -> None:
    rules = [
        {"name": "max_tokens", "max": 100},
        {"name": "temperature", "min": 0.5},
    ]
    reader = Reader(first_line, parameter_rules=rules)
    await summary(reader, "word " * 300)
    assert reader.calls[0].parameters == {"max_tokens": 100, "temperature": 0.5}


async def test_tokens_are_guessed_high_where_nobody_counts_them() -> None:
    reader = Reader(lambda _: "s", counts=False)
    text = "汉字" * 2000
    await summary(reader, text)
    assert "".join(reader.texts) == text
    assert all(len(piece) * 2 < CONTEXT for piece in reader.texts)


async def test_a_line_without_end_is_cut_too() -> None:
    reader = Reader(lambda _: "s")
    text = "word " * 5000
    await summary(reader, text)
    assert "".join(reader.texts) == text


async def test_a_long_text_of_one_character_is_cut_too() -> None:
    reader = Reader(lambda _: "s", counts=False)
    await summary(reader, "x" * 200_000)
    assert "".join(reader.texts) == "x" * 200_000


async def test_white_space_between_pieces_is_not_summarised() -> None:
    reader = Reader(lambda _: "s", counts=False)
    await summary(reader, "word\n" + "\n" * 20_000 + "word")
    assert all(piece.strip() for piece in reader.texts)


async def test_a_text_of_white_space_is_an_error() -> None:
    with pytest.raises(InvalidRequestError, match="white space") as caught:
        await summary(Reader(first_line), " \n" * 2000)
    assert caught.value.field == "text"


@pytest.mark.parametrize(
    "model", [None, "", "scripted", "/echo", "scripted/", "acme/x", "scripted/x"]
)
async def test_a_model_that_is_not_there_is_the_operators_business(model: str | None) -> None:
    tested = Bench(summary_model=model)
    with pytest.raises(InvalidConfigurationError) as caught:
        await tested.outputs(request("a text"))
    assert "[system] summary_model" in str(caught.value)
    assert tested.events == []


async def test_usage_is_that_of_all_calls() -> None:
    reader = Reader(first_line)
    (result,) = await bench(reader).outputs(request(LINES))
    assert isinstance(result, Result)
    assert isinstance(result.usage, LLMUsage)
    calls = len(reader.calls)
    assert result.usage.prompt_tokens == 10 * calls
    assert result.usage.total_tokens == 15 * calls
    assert (
        result.usage.total_price
        == calls * usage_from_tokens(reader.calls[0].facts, 10, 5, 0.0).total_price
    )


async def test_every_chunk_is_a_sign_of_life() -> None:
    tested = Bench({"chunks": 7}, summary_model="scripted/echo")
    await tested.outputs(request("word " * 300))
    assert tested.heard == 8


async def test_a_fault_of_the_model_is_the_callers_and_ends_the_others() -> None:
    options = {"fail_after": 1, "models": {"echo": {"model_properties": {"context_size": 1000}}}}
    tested = Bench(options, summary_model="scripted/echo")
    with pytest.raises(ProviderUnavailableError):
        await tested.outputs(request(LINES))
    assert tested.events.count("started") <= CONCURRENCY
    assert len(tested.events) == 2 * tested.events.count("started")


class Hanging(ScriptedProvider):
    """Never answers; `full` is set when as many calls wait as run side by side."""

    def __init__(self) -> None:
        properties = {"context_size": CONTEXT}
        super().__init__("scripted", {"models": {"echo": {"model_properties": properties}}})
        self.full = asyncio.Event()
        self.begun = self.closed = 0

    async def llm(self, call: LLMCall) -> AsyncGenerator[LLMResultChunk, None]:
        self.begun += 1
        if self.begun == CONCURRENCY:
            self.full.set()
        try:
            await asyncio.get_running_loop().create_future()
            yield last_chunk(call.model, 0, text="", usage=None, finish_reason="stop")
        finally:
            self.closed += 1


async def test_closing_closes_every_stream_of_the_model() -> None:
    hanging = Hanging()
    tested = Bench(provider=hanging, summary_model="scripted/echo")
    task = asyncio.create_task(tested.outputs(request(LINES)))
    await hanging.full.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert hanging.closed == hanging.begun == CONCURRENCY
