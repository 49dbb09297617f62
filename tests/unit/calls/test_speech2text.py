"""Transcription: audio is recognised by the bytes, and only audio is sent to a vendor."""

from typing import Any

import pytest

from invokeq.protocol.errors import (
    InvalidRequestError,
    ModelNotFoundError,
    ProviderUnavailableError,
    RequestTooLargeError,
)
from invokeq.protocol.requests import Speech2TextRequest
from invokeq_providers.scripted import speech
from tests.support.calls import Bench

WAV = b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(28)


def request(model: str = "tags", mime_type: str = "audio/x-nonsense") -> Speech2TextRequest:
    return Speech2TextRequest(provider="scripted", model=model, mime_type=mime_type)


def bench(file: bytes | None, **properties: Any) -> Bench:
    return Bench({"models": {"tags": {"model_properties": properties}}}, file=file)


async def test_what_was_spoken_is_heard_again() -> None:
    audio = speech.speak("Hello, ", "ann", None) + speech.speak("wörld!", "bob", 3)
    assert await Bench(file=audio).result(request()) == {"result": "Hello, wörld!"}


async def test_the_type_comes_from_the_bytes_not_from_the_request() -> None:
    value = await Bench(file=WAV).result(request(mime_type="audio/mpeg"))
    assert value == {"result": f"{len(WAV)} bytes of audio/wav"}


@pytest.mark.parametrize("file", [None, b""])
async def test_no_audio_is_an_error(file: bytes | None) -> None:
    with pytest.raises(InvalidRequestError, match="file: is empty") as caught:
        await Bench(file=file).outputs(request())
    assert caught.value.field == "file"


@pytest.mark.parametrize(
    "file",
    [
        b"just words",
        b"\x89PNG\r\n\x1a\n" + bytes(50),
        b"%PDF-1.7",
        b"RIFF\x00\x00\x00\x00AVI ",
        b"\xff",
    ],
)
async def test_what_is_no_audio_is_an_error_that_lists_the_formats(file: bytes) -> None:
    tested = Bench(file=file)
    with pytest.raises(InvalidRequestError) as caught:
        await tested.outputs(request())
    assert caught.value.field == "file"
    for name in ("mp3", "wav", "flac", "ogg", "m4a", "mp4", "webm", "aac"):
        assert name in caught.value.problem
    assert tested.events == []


async def test_a_file_over_the_limit_of_the_model_is_an_error() -> None:
    limit = 1024 * 1024
    whole = WAV.ljust(limit, b"\x00")
    assert await bench(whole, file_upload_limit=1).result(request())
    with pytest.raises(RequestTooLargeError) as caught:
        await bench(whole + b"\x00", file_upload_limit=1).outputs(request())
    assert (caught.value.size, caught.value.limit) == (limit + 1, limit)
    assert "file_upload_limit of scripted/tags" in str(caught.value)


async def test_a_format_that_the_model_does_not_take_is_an_error() -> None:
    mp3 = speech.speak("a", "ann", None)
    for extensions in ("mpga, .FLAC", ["mpeg", "flac"]):
        tested = bench(mp3, supported_file_extensions=extensions)
        assert await tested.result(request()) == {"result": "a"}
        tested = bench(WAV, supported_file_extensions=extensions)
        with pytest.raises(InvalidRequestError, match=r"is audio/wav; .* takes mp3, flac"):
            await tested.outputs(request())


async def test_a_model_without_such_properties_takes_all() -> None:
    tested = bench(WAV, file_upload_limit=0, supported_file_extensions=5)
    assert "audio/wav" in (await tested.result(request()))["result"]


async def test_an_unknown_model_is_an_error() -> None:
    with pytest.raises(ModelNotFoundError):
        await Bench(file=WAV).outputs(request(model="nope"))


async def test_a_fault_of_the_vendor_is_the_callers() -> None:
    with pytest.raises(ProviderUnavailableError):
        await Bench({"speech2text": {"fail_at": 0}}, file=WAV).outputs(request())


async def test_silence_is_an_empty_text() -> None:
    assert await Bench({"speech2text": {"text": ""}}, file=WAV).result(request()) == {"result": ""}
