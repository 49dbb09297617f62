"""The local models of speech, eSpeak NG and Whisper, one read by the other."""

import asyncio
import io
import re
from collections.abc import Generator
from dataclasses import replace
from typing import cast

import av
import pytest

from invokeq.protocol.audio import MP3, recognise
from invokeq.protocol.entities import ModelType
from invokeq.protocol.errors import InvalidRequestError
from invokeq_providers.local import LocalProvider, speech2text, thread
from invokeq_providers.models.properties import voices
from tests.contract import calls
from tests.support.waiting import eventually_async

pytestmark = pytest.mark.local_model

SENTENCES = [
    "The weather in Berlin is cold today.",
    "Please open the window, it is too warm in here.",
    "The train to London leaves at seven in the morning.",
    "We will meet at the library on Monday afternoon.",
]
SENTENCE = SENTENCES[3]
BAD_WORDS = 0.25
"""Which share of many words may be wrong; measured were 0 to 0.06."""
BAD_WORDS_OF_ONE = 0.5
"""The same for one sentence: eSpeak NG's speech differs a little each time."""


@pytest.fixture(scope="module")
def provider() -> Generator[LocalProvider, None, None]:
    made = LocalProvider("local", {})
    yield made
    asyncio.run(made.close())


async def speak(provider: LocalProvider, text: str, voice: str = "en-us") -> bytes:
    speech = await provider.tts(calls.speech(provider, "espeak", text, voice))
    assert speech.mime_type == MP3.mime_type
    return speech.audio


async def hear(provider: LocalProvider, audio: bytes) -> str:
    return await provider.speech2text(calls.transcription(provider, "whisper-tiny", audio))


def seconds(audio: bytes) -> float:
    """Decode the whole audio, as a player would."""
    with av.open(io.BytesIO(audio), mode="r") as container:
        return sum(frame.samples / frame.sample_rate for frame in container.decode(audio=0))


def recode(audio: bytes, container: str, codec: str, rate: int = 44_100) -> bytes:
    """Write the sound in another format, in stereo."""
    file = io.BytesIO()
    with av.open(io.BytesIO(audio), mode="r") as source, av.open(file, "w", container) as target:
        stream = cast(av.AudioStream, target.add_stream(codec, rate=rate, layout="stereo"))
        resampler = av.AudioResampler(stream.format, "stereo", rate, stream.frame_size or None)
        for frame in [*source.decode(audio=0), None]:
            for resampled in resampler.resample(frame):
                target.mux(stream.encode(resampled))
        target.mux(stream.encode(None))
    return file.getvalue()


def word_error_rate(said: str, heard: str) -> float:
    """Return the number of words to change, add or drop, per spoken word."""
    wanted, got = (re.findall(r"[a-z']+", text.lower()) for text in (said, heard))
    costs = list(range(len(got) + 1))
    for i, word in enumerate(wanted, 1):
        corner, costs[0] = costs[0], i
        for j, other in enumerate(got, 1):
            best = min(costs[j] + 1, costs[j - 1] + 1, corner + (word != other))
            corner, costs[j] = costs[j], best
    return costs[-1] / len(wanted)


def understood(heard: str) -> bool:
    """Return whether a transcript is `SENTENCE`, with few wrong words."""
    return word_error_rate(SENTENCE, heard) <= BAD_WORDS_OF_ONE


async def test_each_voice_speaks(provider: LocalProvider) -> None:
    known = voices(provider.facts(ModelType.TTS, "espeak"))
    assert {"en-us", "de", "fr", "es", "cmn"} <= {voice.value for voice in known}
    spoken = {voice.value: await speak(provider, "Hello 123", voice.value) for voice in known}
    assert {voice for voice, audio in spoken.items() if not 0.5 < seconds(audio) < 5} == set()
    assert len(set(spoken.values())) == len(known)


@pytest.mark.parametrize("voice", ["nobody", "", "en-us/../de", "../../../etc/passwd", "de\0"])
async def test_an_unknown_voice_is_an_error(provider: LocalProvider, voice: str) -> None:
    with pytest.raises(InvalidRequestError, match="no voice") as caught:
        await speak(provider, "Hello", voice)
    assert caught.value.field == "voice"


async def test_segments_play_alone_and_joined(provider: LocalProvider) -> None:
    segments = [await speak(provider, text) for text in SENTENCES]
    for audio in segments:
        assert recognise(audio) == MP3
        # Tags or a header in the middle would be noise, or the end, for a player.
        assert not {tag for tag in (b"ID3", b"Xing", b"Info", b"TAG") if tag in audio}
    joined = b"".join(segments)
    assert seconds(joined) == pytest.approx(sum(map(seconds, segments)), abs=0.2)


@pytest.mark.parametrize(
    ("text", "voice", "shortest", "longest"),
    [
        (" ", "en-us", 0.2, 1),
        ("...", "en-us", 0.2, 1),
        ("\0", "en-us", 0.2, 1),
        ("Good\0morning, everybody in the room.", "en-us", 1.5, 5),
        ("😀", "en-us", 0.3, 3),
        ("你好，世界。今天天气很好。", "cmn", 1, 6),
        ("你好，世界。", "en-us", 0.5, 8),
        ("Привет, мир! Как дела?", "ru", 0.8, 5),
        ("Grüße aus der Straße.", "de", 0.8, 4),
        ("<speak>[[h@]] & <break time='99s'/></speak>", "en-us", 0.5, 15),
        ("A sentence of no importance. " * 200, "en-us", 200, 600),
    ],
)
async def test_every_text_can_be_spoken(
    provider: LocalProvider, text: str, voice: str, shortest: float, longest: float
) -> None:
    assert shortest < seconds(await speak(provider, text, voice)) < longest


@pytest.mark.parametrize("voice", ["en-us", "en"])
async def test_what_is_spoken_is_understood(provider: LocalProvider, voice: str) -> None:
    joined = b"".join([await speak(provider, text, voice) for text in SENTENCES])
    heard = await hear(provider, joined)
    assert word_error_rate(" ".join(SENTENCES), heard) <= BAD_WORDS
    words = set(re.findall("[a-z]+", heard.lower()))
    assert len({"weather", "window", "train", "library"} & words) >= 3
    assert await hear(provider, joined) == heard


@pytest.mark.parametrize(
    ("container", "codec"),
    [("wav", "pcm_s16le"), ("flac", "flac"), ("ogg", "libopus"), ("mp4", "aac")],
)
async def test_hears_other_formats(provider: LocalProvider, container: str, codec: str) -> None:
    rate = 48_000 if codec == "libopus" else 44_100
    audio = recode(await speak(provider, SENTENCE), container, codec, rate)
    assert understood(await hear(provider, audio))


async def test_long_audio_is_heard_in_pieces(
    provider: LocalProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoken = SENTENCES * 2
    joined = b"".join([await speak(provider, text) for text in spoken])
    # It cuts inside sentences. A cut that lost or doubled words would cost a tenth of all words.
    monkeypatch.setattr(speech2text, "_PIECE_S", seconds(joined) / 3.4)
    assert word_error_rate(" ".join(spoken), await hear(provider, joined)) < 0.06


async def test_audio_that_ends_in_the_middle_is_heard_up_to_there(provider: LocalProvider) -> None:
    audio = await speak(provider, SENTENCE)
    heard = await hear(provider, audio[: int(len(audio) * 0.7)])
    assert understood(heard)
    assert "afternoon" not in heard


async def test_tags_need_not_be_text(provider: LocalProvider) -> None:
    audio = recode(await speak(provider, SENTENCE), "wav", "pcm_s16le")
    info = b"INFOINAM\x04\0\0\0Gr\xfc\xff"
    tagged = audio[:12] + b"LIST" + len(info).to_bytes(4, "little") + info + audio[12:]
    assert understood(await hear(provider, tagged))


async def test_silence_says_nothing(provider: LocalProvider) -> None:
    assert await hear(provider, await speak(provider, " ")) == ""


SDP = b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n"


@pytest.mark.parametrize(
    "audio",
    [
        b"",
        b"hello, this is not audio",
        bytes(5_000),
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        b"RIFF\x24\0\0\0WAVEfmt ",
        b"ID3\x04\0\0\0\0\0\0",
        b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile '/etc/passwd'\n",
        SDP,
    ],
)
async def test_what_is_no_audio_is_an_error(provider: LocalProvider, audio: bytes) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        await hear(provider, audio)
    assert caught.value.field == "file"


async def test_both_run_side_by_side(provider: LocalProvider) -> None:
    audio = await speak(provider, SENTENCE)
    hearing = asyncio.create_task(hear(provider, audio))
    spoken = await asyncio.gather(*(speak(provider, SENTENCE) for _ in range(8)))
    assert understood(await hearing)
    # eSpeak NG never says a thing twice in the same way.
    assert [seconds(other) for other in spoken] == pytest.approx([seconds(audio)] * 8, abs=0.2)


async def test_a_cancelled_call_makes_room_for_the_next(provider: LocalProvider) -> None:
    audio = await speak(provider, " ".join(SENTENCES) * 10)
    for waiting in (hear(provider, audio), speak(provider, SENTENCE * 20_000)):
        task = asyncio.create_task(waiting)
        await eventually_async("the model computes", lambda: provider.busy)
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()
        await eventually_async("the model stops", lambda: not provider.busy)
    assert understood(await hear(provider, await speak(provider, SENTENCE)))


async def test_a_long_call_says_that_it_is_alive(
    provider: LocalProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thread, "_ALIVE_S", 0.01)
    signs: list[str] = []
    call = calls.transcription(provider, "whisper-tiny", await speak(provider, SENTENCE))
    await provider.speech2text(replace(call, heartbeat=lambda: signs.append("alive")))
    assert signs
