"""Build the requests of speech and moderation calls, and read audio files within bounds."""

from typing import IO, Any, Final

from invokeq.protocol.audio import AUDIO_FORMATS, recognise
from invokeq.protocol.entities import (
    ModerationModelConfig,
    Speech2TextModelConfig,
    TTSModelConfig,
)
from invokeq.protocol.errors import InvalidRequestError, RequestTooLargeError
from invokeq.protocol.requests import ModerationRequest, Speech2TextRequest, TTSRequest
from invokeq.requests.arguments import config_of, spoken_text_of

READ_SIZE: Final = 256 * 1024
"""Bytes a read of an audio file."""


def build_tts_request(model_config: object, content_text: object) -> TTSRequest:
    """Validate the arguments of a speech call; without a voice the model's default speaks."""
    config = config_of(TTSModelConfig, model_config, voice="")
    return TTSRequest(
        provider=config.provider,
        model=config.model,
        voice=config.voice,
        content_text=spoken_text_of("content_text", content_text),
    )


def build_speech2text_request(model_config: object, audio: bytes) -> Speech2TextRequest:
    """Validate the arguments of a transcription; the format is recognised from the bytes."""
    config = config_of(Speech2TextModelConfig, model_config)
    found = recognise(audio)
    if found is None:
        known = ", ".join(format_.suffix[1:] for format_ in AUDIO_FORMATS)
        raise InvalidRequestError(field="file", problem=f"is no audio that is known here: {known}")
    return Speech2TextRequest(
        provider=config.provider, model=config.model, mime_type=found.mime_type
    )


def build_moderation_request(model_config: object, text: object) -> ModerationRequest:
    """Validate the arguments of a moderation call."""
    config = config_of(ModerationModelConfig, model_config)
    return ModerationRequest(
        provider=config.provider, model=config.model, text=spoken_text_of("text", text)
    )


def read_audio(file: IO[bytes], limit: int) -> bytes:
    """Read a file to its end, in parts; raise RequestTooLargeError as soon as `limit` is passed."""
    read: Any = getattr(file, "read", None)
    if read is None:
        raise InvalidRequestError(field="file", problem="must be a file that is open for reading")
    parts: list[bytes] = []
    size = 0
    while part := read(READ_SIZE):
        if not isinstance(part, bytes):
            raise InvalidRequestError(field="file", problem="must be open in binary mode")
        parts.append(part)
        size += len(part)
        if size > limit:
            raise RequestTooLargeError(
                field="file", size=f"over {limit}", limit=limit, setting="max_file_bytes"
            )
    if not size:
        raise InvalidRequestError(field="file", problem="is empty, or was read to its end before")
    return b"".join(parts)
