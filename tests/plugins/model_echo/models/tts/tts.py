"""Speaks by beeping: a tone of the voice's pitch, a hundredth of a second a character."""

import io
import math
import struct
import wave
from collections.abc import Generator, Mapping
from typing import Any

from dify_plugin import TTSModel
from dify_plugin.errors.model import InvokeError
from models.shared import ERROR_MAPPING, check_call, check_key

RATE = 8000
PITCHES = {"low": 200, "high": 800}
PIECE = 1000


class EchoText2SpeechModel(TTSModel):
    """A speech model that yields one WAV file in pieces, as a network would."""

    def _invoke(
        self,
        model: str,
        tenant_id: str,
        credentials: dict[str, Any],
        content_text: str,
        voice: str,
        user: str | None = None,
    ) -> Generator[bytes, None, None]:
        del model, tenant_id, user
        check_call(credentials, content_text)
        turn = 2 * math.pi * PITCHES[voice] / RATE
        frames = [int(9000 * math.sin(turn * i)) for i in range(len(content_text) * RATE // 100)]
        file = io.BytesIO()
        with wave.open(file, "wb") as audio:
            audio.setnchannels(1)
            audio.setsampwidth(2)
            audio.setframerate(RATE)
            audio.writeframes(struct.pack(f"<{len(frames)}h", *frames))
        whole = file.getvalue()
        return (whole[at : at + PIECE] for at in range(0, len(whole), PIECE))

    def validate_credentials(self, model: str, credentials: Mapping[str, Any]) -> None:
        del model
        check_key(credentials)

    @property
    def _invoke_error_mapping(self) -> dict[type[InvokeError], list[type[Exception]]]:
        return ERROR_MAPPING
