"""Transcription: the spoken words of an audio file as text."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import Any, Final, cast

from invokeq.protocol.audio import AUDIO_FORMATS, HEAD_BYTES, AudioFormat, recognise
from invokeq.protocol.entities import AIModelEntity, ModelPropertyKey, ModelType, Speech2TextResult
from invokeq.protocol.errors import InvalidRequestError, RequestTooLargeError
from invokeq.protocol.requests import Speech2TextRequest
from invokeq_providers.base import Provider, TranscriptionCall
from invokeq_providers.calls.outputs import Output, Result, Services
from invokeq_providers.models.properties import count_property
from invokeq_providers.models.usage import UsageAccumulator

_MEGABYTE: Final = 1024 * 1024  # the unit of the property file_upload_limit
_UNLIMITED: Final = 0
# Vendors list several extensions for one format; `recognise` knows one suffix for each format.
_OTHER_NAMES: Final = {"mpeg": "mp3", "mpga": "mp3", "oga": "ogg", "opus": "ogg", "wave": "wav"}


async def serve_speech2text(
    request: Speech2TextRequest, services: Services
) -> AsyncGenerator[Output, None]:
    """Yield the text; the text is empty for audio without speech."""
    provider = services.provider(request.provider)
    call = prepare_speech2text(
        request,
        provider,
        services.file,
        request_id=services.request_id,
        user=services.user,
    )
    accumulator = UsageAccumulator(provider.facts(ModelType.SPEECH2TEXT, request.model))
    text = await provider.speech2text(
        replace(call, heartbeat=services.heartbeat, record_usage=accumulator.record_usage)
    )
    yield Result(Speech2TextResult(result=text).model_dump(), accumulator.usage)


def prepare_speech2text(
    request: Speech2TextRequest,
    provider: Provider,
    file: bytes | None,
    *,
    request_id: str = "",
    user: str | None = None,
) -> TranscriptionCall:
    """Recognise the audio by the first bytes, and build the call.

    The name and type in the request are ignored. Raises `ModelNotFoundError`,
    `RequestTooLargeError` above the model's `file_upload_limit` (megabytes), or
    `InvalidRequestError` for a file without known audio, or in a format the model refuses.
    """
    facts = provider.facts(ModelType.SPEECH2TEXT, request.model)
    known = recognise(file[:HEAD_BYTES]) if file else None
    if not file or known is None:
        raise InvalidRequestError(
            provider=provider.name,
            model=facts.model,
            field="file",
            problem=f"is no audio that can be recognised; known are {_list(AUDIO_FORMATS)}"
            if file
            else "is empty",
        )
    _check_size(len(file), facts, provider.name)
    _check_format(known, facts, provider.name)
    return TranscriptionCall(
        request_id=request_id,
        model=request.model,
        facts=facts,
        audio=file,
        mime_type=known.mime_type,
        # Vendors recognise the format by the suffix, so the suffix must match the bytes.
        filename=f"audio{known.suffix}",
        user=user,
    )


def _check_size(size: int, facts: AIModelEntity, provider: str) -> None:
    limit = _MEGABYTE * count_property(facts, ModelPropertyKey.FILE_UPLOAD_LIMIT, _UNLIMITED)
    if limit and size > limit:
        raise RequestTooLargeError(
            provider=provider,
            model=facts.model,
            field="file",
            size=size,
            limit=limit,
            setting=f"the property file_upload_limit of {provider}/{facts.model}",
        )


def _check_format(known: AudioFormat, facts: AIModelEntity, provider: str) -> None:
    taken = _extensions(facts)
    if taken and known.suffix.lstrip(".") not in taken:
        raise InvalidRequestError(
            provider=provider,
            model=facts.model,
            field="file",
            problem=f"is {known.mime_type}; {provider}/{facts.model} takes {', '.join(taken)}",
        )


def _extensions(facts: AIModelEntity) -> list[str]:
    """Return the extensions that the model takes; facts hold a list, or text with commas."""
    given: Any = facts.model_properties.get(ModelPropertyKey.SUPPORTED_FILE_EXTENSIONS)
    if isinstance(given, str):
        names: list[str] = given.split(",")
    elif isinstance(given, Sequence):
        names = [str(name) for name in cast(Sequence[Any], given)]
    else:
        return []
    plain = [name.strip().lower().lstrip(".") for name in names]
    return list(dict.fromkeys(_OTHER_NAMES.get(name, name) for name in plain if name))


def _list(formats: Sequence[AudioFormat]) -> str:
    return ", ".join(known.suffix.lstrip(".") for known in formats)
