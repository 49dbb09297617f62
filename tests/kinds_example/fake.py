"""The fake: an answer is the translated text."""

from collections.abc import Iterator
from typing import Final

from invokeq.protocol import events
from invokeq.protocol.events import EventKind
from invokeq.testing import FakeEvent, FakeKind, Output
from tests.kinds_example.kind import TranslationRequest


def _entries(request: TranslationRequest, text: str) -> Iterator[Output]:
    del request
    yield FakeEvent(EventKind.RESULT, events.result({"text": text}))


TRANSLATION: Final[FakeKind[TranslationRequest, str]] = FakeKind(
    attribute="translation",
    answer="a text",
    accepts=lambda value: isinstance(value, str),
    entries=_entries,
)
