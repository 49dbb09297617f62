"""Transcription: what is said in an audio file."""

from collections.abc import AsyncGenerator
from dataclasses import replace

from invokeq.protocol.entities import ModelType, Speech2TextResult
from invokeq.protocol.requests import Speech2TextRequest
from invokeq_providers.calls.outputs import Output, Result, Services
from invokeq_providers.calls.prepare_speech2text import prepare_speech2text
from invokeq_providers.calls.usage import UsageAccumulator


async def serve_speech2text(
    request: Speech2TextRequest, services: Services
) -> AsyncGenerator[Output, None]:
    """Give the text; it is empty where nothing is said."""
    provider = services.provider(request.provider)
    call = prepare_speech2text(
        request,
        provider,
        services.file,
        request_id=services.request_id,
        user=services.user,
    )
    account = UsageAccumulator(provider.facts(ModelType.SPEECH2TEXT, request.model))
    text = await provider.speech2text(
        replace(call, alive=services.heard, record_usage=account.record_usage)
    )
    yield Result(Speech2TextResult(result=text).model_dump(), account.usage)
