"""The other calls of `session.model`, one after the other: what one gives, the next one gets.

A text becomes speech, the speech a text again; that one is compared with notes, ranked, judged and,
with a longer one, summarised. All by the models of the local provider, over the queue.
"""

import io
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.text import Text

from invokeq import Models, Session
from invokeq.entities import (
    EmbeddingInputType,
    ModerationModelConfig,
    RerankModelConfig,
    Speech2TextModelConfig,
    TextEmbeddingModelConfig,
    TTSModelConfig,
)

VOICE: Final = TTSModelConfig(provider="local", model="espeak", voice="en-us")
EARS: Final = Speech2TextModelConfig(provider="local", model="whisper-tiny")
EMBEDDER: Final = TextEmbeddingModelConfig(provider="local", model="minilm")
RANKER: Final = RerankModelConfig(
    provider="local", model="minilm-rerank", score_threshold=-1.0, top_n=2
)
JUDGE: Final = ModerationModelConfig(provider="local", model="safetype")

SPOKEN: Final = (
    "The weather is nice today. We are going to the beach this afternoon."
    " Please bring some water and a warm jacket."
)
NOTES: Final = (
    "Bread needs flour, water, salt and a night of patience.",
    "A day by the sea: take something to drink, and clothes for the evening wind.",
    "The library is closed on Mondays.",
    "Rain is expected in the mountains, with snow above the tree line.",
)
STORY: Final = """
The lighthouse on Gull Point was built in 1868 of granite that ships had carried from the north. For
ninety years a keeper lived in it with his family, climbed its two hundred steps every evening, lit
the lamp and wound the clockwork that turned the lens. In winter no boat could land for weeks, and
the children learned to read from the labels of tins.

In 1958 a cable was laid along the sea floor. Electric light replaced the oil lamp, a motor replaced
the clockwork, and the last keeper, Ada Brandt, moved to the village. She kept the key, though, and
walked out at low tide every Sunday to clean the lens, for which nobody had asked her. When a storm
broke the cable in 1971, it was she who carried the old lamp up the steps and lit it by hand. Three
fishing boats found the harbour by it that night.

Today the light is watched from a desk four hundred kilometres away. The village has made the
keeper's house a museum, where visitors may wind the clockwork and read the tins. The lamp of Ada
Brandt stands behind glass, filled and ready, and once a year her grandson lights it at dusk.
"""


def tour(session: Session, console: Console) -> None:
    """Make every call, and show what each one gave and how long it took."""
    models = session.model
    audio = speak(models, console)
    heard = listen(models, console, audio)
    compare(models, console, heard)
    rank(models, console, heard)
    judge(models, console, heard)
    summarise(models, console)


def speak(models: Models, console: Console) -> bytes:
    """Say a text; gives the audio, which is its segments one behind the other."""
    with step(console, "tts", f"local/{VOICE.model} says: {SPOKEN}"):
        segments: list[bytes] = []
        for segment in models.tts.invoke(VOICE, SPOKEN):
            segments.append(segment)
            console.print(f"segment {len(segments)}: an mp3 of {len(segment)} bytes")
    return b"".join(segments)


def listen(models: Models, console: Console, audio: bytes) -> str:
    """Write down what was said."""
    with step(console, "speech2text", f"local/{EARS.model} hears {len(audio)} bytes of mp3"):
        heard = models.speech2text.invoke(EARS, io.BytesIO(audio))
        console.print(Text(heard))
    return heard


def compare(models: Models, console: Console, heard: str) -> None:
    """Find the note that is closest to what was heard."""
    with step(console, "text_embedding", f"local/{EMBEDDER.model} compares it with notes"):
        notes = models.text_embedding.invoke(EMBEDDER, list(NOTES), EmbeddingInputType.DOCUMENT)
        (query,) = models.text_embedding.invoke(EMBEDDER, [heard]).embeddings
        for vector, note in zip(notes.embeddings, NOTES, strict=True):
            closeness = sum(x * y for x, y in zip(query, vector, strict=True))
            console.print(Text(f"{closeness:6.3f}  {note}"))
        console.print(f"{len(query)} dimensions, {notes.usage.total_tokens} tokens of notes")


def rank(models: Models, console: Console, heard: str) -> None:
    """Let the ranker choose the best two notes."""
    with step(console, "rerank", f"local/{RANKER.model} keeps the best {RANKER.top_n}"):
        for doc in models.rerank.invoke(RANKER, list(NOTES), heard).docs:
            console.print(Text(f"{doc.score:6.3f}  {doc.text}"))


def judge(models: Models, console: Console, heard: str) -> None:
    """Tell what is sensitive from what is not."""
    with step(console, "moderation", f"local/{JUDGE.model} judges"):
        for text in (heard, "I will kill you, you idiot."):
            verdict = "sensitive" if models.moderation.invoke(JUDGE, text) else "clean"
            console.print(Text(f"{verdict:>9}  {text}"))


def summarise(models: Models, console: Console) -> None:
    """Have a story of some length summarised by the operator's model."""
    with step(console, "summary", f"[system] summary_model reads {len(STORY)} characters"):
        console.print(Text(models.summary.invoke(STORY, "Two sentences.").strip()))


@contextmanager
def step(console: Console, call: str, what: str) -> Generator[None, None, None]:
    """Head one call, and tell afterwards how long it took."""
    console.print(f"\nsession.model.{call}", style="bold")
    console.print(Text(what, "cyan"))
    began = time.monotonic()
    yield
    console.print(f"{time.monotonic() - began:.2f} s", style="dim")
