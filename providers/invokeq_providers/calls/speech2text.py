"""Transcription: what is said in an audio file."""

from collections.abc import AsyncGenerator
from dataclasses import replace

from invokeq.protocol.entities import ModelType, Speech2TextResult
from invokeq.protocol.requests import Speech2TextRequest
from invokeq_providers.calls.outputs import Result, Said, Services
from invokeq_providers.calls.prepare_speech2text import prepare_speech2text
from invokeq_providers.calls.usage import Account


async def serve_speech2text(
    request: Speech2TextRequest, services: Services
) -> AsyncGenerator[Said, None]:
    """Give the text; it is empty where nothing is said."""
    provider = services.provider(request.provider)
    call = prepare_speech2text(
        request,
        provider,
        services.file,
        request_id=services.request_id,
        user=services.user,
    )
    account = Account(provider.facts(ModelType.SPEECH2TEXT, request.model))
    text = await provider.speech2text(replace(call, alive=services.heard, bill=account.bill))
    yield Result(Speech2TextResult(result=text).model_dump(), account.usage)
