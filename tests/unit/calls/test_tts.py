"""Speech: complete segments, made ahead side by side, said in the order of the text."""

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

from invokeq.protocol.audio import MP3, recognise
from invokeq.protocol.errors import (
    CredentialsError,
    InvalidRequestError,
    ModelNotFoundError,
    ProviderUnavailableError,
    RateLimitedError,
    UnusableAnswerError,
)
from invokeq.protocol.requests import TTSRequest
from invokeq.protocol.usage import BillingUnit, UnitUsage
from invokeq_providers.calls import Output, Segment, UsageReport, serve
from invokeq_providers.calls.tts import CONCURRENCY
from invokeq_providers.scripted import speech
from tests.support.calls import Bench, Gate

LONG = "This sentence has about sixty characters, give or take some. "
TEXT = "First. " + LONG * 9


def request(text: str = TEXT, voice: str = "ann", model: str = "silence") -> TTSRequest:
    return TTSRequest(provider="scripted", model=model, voice=voice, content_text=text)


def heard(outputs: Sequence[Output]) -> list[str | None]:
    """Return the text of each segment; a usage report may come last."""
    texts: list[str | None] = []
    segments = outputs[:-1] if isinstance(outputs[-1], UsageReport) else outputs
    for piece in segments:
        assert isinstance(piece, Segment)
        assert recognise(piece.audio) == MP3
        assert piece.mime_type == "audio/mpeg"
        texts.append(speech.transcript(piece.audio))
    return texts


async def until_fault(bench: Bench, asked: TTSRequest, error: type[Exception]) -> list[Output]:
    """Return the outputs before an error; the caller checks the other fields of the error."""
    outputs: list[Output] = []

    async def consume() -> None:
        async for piece in serve(asked, bench.services):
            outputs.append(piece)  # noqa: PERF401  a comprehension would lose them

    with pytest.raises(error) as caught:
        await consume()
    bench_error: Any = caught.value
    assert bench_error.segments == len(outputs)
    assert ("after" in str(bench_error)) == ("segments" in str(bench_error))
    return outputs


async def test_segments_say_the_text_without_losing_a_character() -> None:
    bench = Bench()
    texts = heard(await bench.outputs(request()))
    assert texts == ["First. ", LONG * 3, LONG * 3, LONG * 3]
    assert "".join(map(str, texts)) == TEXT
    assert bench.heard == len(texts)


async def test_segments_can_be_joined() -> None:
    outputs = await Bench().outputs(request())
    joined = b"".join(piece.audio for piece in outputs if isinstance(piece, Segment))
    assert speech.transcript(joined) == TEXT


async def test_segments_are_made_ahead_within_a_bound_and_come_in_order() -> None:
    bench = Bench()
    gate = Gate(bench.scripted)
    task = asyncio.create_task(bench.outputs(request()))
    await gate.reached(CONCURRENCY - 1)
    assert len(gate.steps) == CONCURRENCY
    gate.let_through(3, 2, 1, 0)
    assert heard(await task)[0] == "First. "
    assert bench.peak == CONCURRENCY


async def test_the_first_segment_is_said_while_the_second_is_still_made() -> None:
    bench = Bench({"tts": {"hang_at": 1}})
    pieces = serve(request(), bench.services)
    first = await anext(pieces)
    assert heard([first]) == ["First. "]
    await pieces.aclose()


async def test_closing_cancels_all_that_is_made() -> None:
    bench = Bench()
    gate = Gate(bench.scripted)
    gate.let_through(0)
    pieces = serve(request(), bench.services)
    await anext(pieces)
    await gate.reached(1)
    await pieces.aclose()
    assert bench.events[-2:] == ["closed:1", "closed:2"]


async def test_a_vendor_that_stops_in_the_middle_leaves_what_was_said() -> None:
    bench = Bench({"tts": {"fail_at": 2, "fail_with": "connection"}})
    outputs = await until_fault(bench, request(), ProviderUnavailableError)
    assert heard(outputs) == ["First. ", LONG * 3]


async def test_the_error_tells_how_many_segments_there_were() -> None:
    bench = Bench({"tts": {"fail_at": 1, "fail_with": "rate_limit", "retry_after": 7}})
    with pytest.raises(RateLimitedError, match=r"\(after 1 audio segments\)") as caught:
        await bench.outputs(request())
    assert (caught.value.segments, caught.value.retry_after) == (1, 7)


async def test_a_fault_before_the_first_segment_says_none() -> None:
    bench = Bench({"tts": {"fail_at": 0, "fail_with": "auth"}})
    assert await until_fault(bench, request(), CredentialsError) == []


async def test_a_segment_without_audio_is_an_error() -> None:
    bench = Bench({"tts": {"spoil": "empty", "spoil_at": 1}})
    outputs = await until_fault(bench, request(), UnusableAnswerError)
    assert len(outputs) == 1


async def test_an_unknown_voice_is_an_error_that_lists_the_voices() -> None:
    bench = Bench()
    with pytest.raises(InvalidRequestError, match=r"no voice is called 'eve'.*has: ann, bob") as it:
        await bench.outputs(request(voice="eve"))
    assert (it.value.field, it.value.voices) == ("voice", ["ann", "bob"])
    assert bench.events == []


@pytest.mark.parametrize(("asked", "spoken"), [("", "ann"), ("bob", "bob"), ("Bob", "bob")])
async def test_the_voice_is_the_one_asked_for_or_the_default(asked: str, spoken: str) -> None:
    piece, _ = await Bench().outputs(request("Hello.", voice=asked))
    assert isinstance(piece, Segment)
    assert piece.audio == speech.speak("Hello.", spoken, None)


async def test_a_model_that_has_a_price_is_billed_by_the_character() -> None:
    *_, used = await Bench().outputs(request())
    assert isinstance(used, UsageReport)
    assert isinstance(used.usage, UnitUsage)
    assert (used.usage.unit, used.usage.amount) == (BillingUnit.CHARACTER, len(TEXT))
    assert used.usage.total_price == Decimal("0.0083400")
    free = {"models": {"free": {"like": "silence", "pricing": None}}}
    outputs = await Bench(free).outputs(request("Hello.", model="free"))
    assert [type(piece) for piece in outputs] == [Segment]


@pytest.mark.parametrize("blank", [" ", "\n\t \u3000"])
async def test_a_text_of_white_space_is_an_error(blank: str) -> None:
    with pytest.raises(InvalidRequestError, match="white space") as caught:
        await Bench().outputs(request(blank))
    assert caught.value.field == "content_text"


async def test_an_unknown_model_is_an_error() -> None:
    with pytest.raises(ModelNotFoundError, match="silence"):
        await Bench().outputs(request(model="nope"))


async def test_other_scripts_are_spoken_whole() -> None:
    text = "你好。今天天气很好！मेरा नाम क्या है। مرحبا؟ نعم."
    assert "".join(str(t) for t in heard(await Bench().outputs(request(text)))) == text


async def test_ten_megabytes_begin_to_speak_at_once() -> None:
    bench = Bench()
    pieces = serve(request("word " * 2_000_000), bench.services)
    assert isinstance(await anext(pieces), Segment)
    await pieces.aclose()
    assert len([e for e in bench.events if e.startswith("started")]) <= CONCURRENCY
