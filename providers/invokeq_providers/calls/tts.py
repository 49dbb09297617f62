"""Speech: segments are made concurrently ahead, and emitted in the order of the text."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import Final

from invokeq.protocol.entities import AIModelEntity, ModelPropertyKey, ModelType
from invokeq.protocol.errors import InvalidRequestError, InvokeqError, UnusableAnswerError
from invokeq.protocol.requests import TTSRequest
from invokeq.protocol.usage import BillingUnit
from invokeq_providers.base import Provider, Speech, SpeechCall
from invokeq_providers.calls.documents import check_text
from invokeq_providers.calls.ordered_gather import ordered_gather
from invokeq_providers.calls.outputs import Output, Segment, Services, UsageReport
from invokeq_providers.chat.sentences import pieces
from invokeq_providers.models.properties import count_property, text_property, voices
from invokeq_providers.models.usage import UsageAccumulator

CONCURRENCY: Final = 3
"""Segments made ahead of the reader, unless the model's `max_workers` says otherwise."""

PIECE_CHARACTERS: Final = 400
"""Upper bound of one piece: about half a minute of audio, and few enough vendor calls."""


async def serve_tts(request: TTSRequest, services: Services) -> AsyncGenerator[Output, None]:
    """Yield audio segments in the order of the text, then the usage.

    Segments emitted before a fault stay valid; the error's field `segments` holds their number. A
    provider without reported usage is billed by the character, if the model has a price.
    """
    provider = services.provider(request.provider)
    calls = prepare_tts(request, provider, request_id=services.request_id, user=services.user)
    facts = provider.facts(ModelType.TTS, request.model)
    bound = count_property(facts, ModelPropertyKey.MAX_WORKERS, CONCURRENCY)
    accumulator = UsageAccumulator(facts)
    jobs = (
        partial(
            _speak,
            provider,
            replace(call, heartbeat=services.heartbeat, record_usage=accumulator.record_usage),
            services,
        )
        for call in calls
    )
    emitted = 0
    try:
        async with aclosing(ordered_gather(jobs, bound)) as segments:
            async for speech in segments:
                yield Segment(speech.audio, speech.mime_type)
                emitted += 1
    except InvokeqError as error:
        # The caller may already play the first segments, and needs to know where the speech ends.
        _note_segments(error, emitted)
        raise
    # Vendors report no usage of speech; characters of the request are the unit of their prices.
    if accumulator.usage is None and facts.pricing is not None:
        accumulator.record_usage(len(request.content_text), BillingUnit.CHARACTER)
    if accumulator.usage is not None:
        yield UsageReport(accumulator.usage)


async def _speak(provider: Provider, call: SpeechCall, services: Services) -> Speech:
    speech = await provider.tts(call)
    if not speech.audio:
        problem = f"there is no audio for {len(call.text)} characters"
        raise UnusableAnswerError(provider=provider.name, model=call.model, problem=problem)
    services.heartbeat()
    return speech


def _note_segments(error: InvokeqError, emitted: int) -> None:
    """Add the number of emitted segments to an error, and to a sentence ending in free text."""
    error.segments = emitted
    for field in ("detail", "problem"):
        if emitted:
            error.append_to(field, f" (after {emitted} audio segments)")


def prepare_tts(
    request: TTSRequest, provider: Provider, *, request_id: str = "", user: str | None = None
) -> Iterator[SpeechCall]:
    """Choose the voice at once, and return a lazy iterator of calls, one a piece.

    The first piece is one sentence, so that a listener hears speech soon. Other pieces hold as many
    sentences as fit `PIECE_CHARACTERS` and the model's `word_limit`, in characters.

    Raises `ModelNotFoundError`, or `InvalidRequestError` for a blank text or an unknown voice.
    """
    facts = provider.facts(ModelType.TTS, request.model)
    check_text("content_text", request.content_text, facts, provider.name)
    voice = choose_voice(request.voice, facts, provider.name)
    limit = count_property(facts, ModelPropertyKey.WORD_LIMIT, PIECE_CHARACTERS)
    texts = pieces(request.content_text, min(limit, PIECE_CHARACTERS), first_alone=True)
    return (
        SpeechCall(
            request_id=request_id,
            model=request.model,
            facts=facts,
            text=text,
            voice=voice,
            user=user,
        )
        for text in texts
        if not text.isspace()
    )


def choose_voice(voice: str, facts: AIModelEntity, provider: str) -> str:
    """Return the vendor's id of a voice, found by id or by display name.

    An empty `voice` means the model's `default_voice`, else the first voice. For a model without
    listed voices any `voice` passes, and the vendor decides. Raises `InvalidRequestError` listing
    the known voices.
    """
    known = voices(facts)
    default = text_property(facts, ModelPropertyKey.DEFAULT_VOICE)
    if not voice.strip():
        voice = default or (known[0].value if known else "")
    for found in known:
        if voice in {found.value, found.name}:
            return found.value
    if voice and (not known or voice == default):
        return voice
    there_are = ", ".join(found.value for found in known) or "none that invokeq knows of"
    problem = f"no voice is called {voice!r}" if voice else "is needed"
    raise InvalidRequestError(
        provider=provider,
        model=facts.model,
        field="voice",
        problem=f"{problem}; {provider}/{facts.model} has: {there_are}",
        voices=[found.value for found in known],
    )
