"""OpenAI's speech models."""

from typing import Final

import httpx2

from invokeq.protocol.entities import ModelPropertyKey
from invokeq_providers.base import Speech, SpeechCall
from invokeq_providers.http.reported import parsed, said_in
from invokeq_providers.models.properties import text_property
from invokeq_providers.openai.api import Body, OpenAIVendor

MAX_AUDIO_BYTES: Final = 64 * 1024 * 1024  # an hour of mp3; 4096 characters are five minutes
_DEFAULT_FORMAT: Final = "mp3"
_MIME_TYPES: Final = {"mp3": "audio/mpeg", "opus": "audio/ogg", "pcm": "audio/L16"}


async def speak(vendor: OpenAIVendor, call: SpeechCall) -> Speech:
    """Return the speech of a text; audio cut off is an error, never short audio."""
    kind = text_property(call.facts, ModelPropertyKey.AUDIO_TYPE) or _DEFAULT_FORMAT
    body: Body = {
        "model": call.model,
        "input": call.text,
        "voice": call.voice,
        "response_format": kind,
    }
    async with (
        vendor.errors.translated(call.model),
        vendor.post("/audio/speech", body, accept="application/octet-stream") as response,
    ):
        mime_type = _mime_type(response, kind)
        if mime_type is None:  # JSON or a page: its words say why there is no audio
            problem = f"{response.headers['content-type']} is no audio"
            raise vendor.errors.unexpected(call.model, await response.aread(), problem)
        audio = bytearray()
        async for piece in response.aiter_bytes():
            call.heartbeat()
            audio += piece
            if len(audio) > MAX_AUDIO_BYTES:
                problem = ValueError(f"more than {MAX_AUDIO_BYTES} bytes of audio")
                raise vendor.errors.malformed(call.model, problem)
    if audio.startswith(b"{") and said_in(parsed(audio)):
        raise vendor.errors.unexpected(call.model, bytes(audio), "JSON is no audio")
    if not audio:
        raise vendor.errors.malformed(call.model, ValueError("no audio at all"))
    return Speech(bytes(audio), mime_type)


def _mime_type(response: httpx2.Response, kind: str) -> str | None:
    """Return the mime type in the answer, the requested one without a type, None for no audio."""
    said = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if said in ("", "application/octet-stream"):
        return _MIME_TYPES.get(kind, f"audio/{kind}")
    return said if said.startswith("audio/") else None
