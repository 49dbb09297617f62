"""OpenAI's transcription models."""

from collections.abc import Mapping
from typing import Any

from invokeq.protocol.usage import BillingUnit
from invokeq_providers.base import TranscriptionCall
from invokeq_providers.openai.api import Body, OpenAIVendor


async def transcribe(vendor: OpenAIVendor, call: TranscriptionCall) -> str:
    """Return the text of the audio; the vendor recognises formats by the name of the file."""
    body: Body = {"model": call.model, "response_format": "json"}
    file = ("file", (call.filename, call.audio, call.mime_type))
    async with vendor.errors.translated(call.model):
        answer = await vendor.ask("/audio/transcriptions", body, [file])
    text = vendor.errors.read(call.model, _text, answer)
    vendor.errors.read(call.model, lambda found: _bill(call, found), answer)
    return text


def _bill(call: TranscriptionCall, answer: Mapping[str, Any]) -> None:
    """Record seconds or tokens, by the billing unit of the model."""
    usage: Mapping[str, Any] = answer.get("usage") or {}
    if usage.get("seconds") is not None:
        call.record_usage(float(usage["seconds"]), BillingUnit.SECOND)
    elif usage.get("total_tokens") is not None:
        call.record_usage(int(usage["total_tokens"]), BillingUnit.TOKEN)


def _text(answer: Mapping[str, Any]) -> str:
    text = answer["text"]
    if not isinstance(text, str):
        raise TypeError("its text is no string")
    return text
