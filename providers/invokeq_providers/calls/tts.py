"""Speech: segments made ahead side by side, and said in the order of the text."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import Final

from invokeq.protocol.entities import ModelPropertyKey, ModelType
from invokeq.protocol.errors import InvokeqError, UnusableAnswerError
from invokeq.protocol.requests import TTSRequest
from invokeq.protocol.usage import BillingUnit
from invokeq_providers.base import Provider, Speech, SpeechCall
from invokeq_providers.calls.ordered_gather import ordered_gather
from invokeq_providers.calls.outputs import Output, Segment, Services, UsageReport
from invokeq_providers.calls.prepare_tts import prepare_tts
from invokeq_providers.calls.usage import UsageAccumulator
from invokeq_providers.models.properties import count_property

SIDE_BY_SIDE: Final = 3
"""Segments that are made at once or wait for their turn, unless `max_workers` says otherwise."""


async def serve_tts(request: TTSRequest, services: Services) -> AsyncGenerator[Output, None]:
    """Say each segment as soon as all before it are said.

    What was said before a fault stays; the error's field `segments` tells how many there were. No
    vendor says what speech has used, so a model that has a price is billed by the character.
    """
    provider = services.provider(request.provider)
    calls = prepare_tts(request, provider, request_id=services.request_id, user=services.user)
    facts = provider.facts(ModelType.TTS, request.model)
    bound = count_property(facts, ModelPropertyKey.MAX_WORKERS, SIDE_BY_SIDE)
    account = UsageAccumulator(facts)
    jobs = (
        partial(
            _speak,
            provider,
            replace(call, alive=services.heard, record_usage=account.record_usage),
            services,
        )
        for call in calls
    )
    said = 0
    try:
        async with aclosing(ordered_gather(jobs, bound)) as segments:
            async for speech in segments:
                yield Segment(speech.audio, speech.mime_type)
                said += 1
    except InvokeqError as error:
        _note_segments(error, said)
        raise
    if account.usage is None and facts.pricing is not None:
        account.record_usage(len(request.content_text), BillingUnit.CHARACTER)
    if account.usage is not None:
        yield UsageReport(account.usage)


async def _speak(provider: Provider, call: SpeechCall, services: Services) -> Speech:
    speech = await provider.tts(call)
    if not speech.audio:
        problem = f"there is no audio for {len(call.text)} characters"
        raise UnusableAnswerError(provider=provider.name, model=call.model, problem=problem)
    services.heard()
    return speech


def _note_segments(error: InvokeqError, said: int) -> None:
    """Add to an error how far the speech came, in its sentence too where that ends in free text."""
    error.fields["segments"] = said
    for field in ("detail", "problem"):
        if said and field in error.fields:
            error.fields[field] = f"{error.fields[field]} (after {said} audio segments)"
