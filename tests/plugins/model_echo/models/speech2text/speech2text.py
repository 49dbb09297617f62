"""Hears beeps: how long they are and how high, from the samples."""

import itertools
import struct
import wave
from collections.abc import Mapping
from typing import IO, Any

from dify_plugin import Speech2TextModel
from dify_plugin.errors.model import InvokeError
from models.shared import ERROR_MAPPING, BadRequestError, check_call, check_key


class EchoSpeech2TextModel(Speech2TextModel):
    """Understands what echo-tts says, as far as there is something to understand."""

    def _invoke(
        self, model: str, credentials: dict[str, Any], file: IO[bytes], user: str | None = None
    ) -> str:
        del model, user
        check_call(credentials, "")
        try:
            with wave.open(file, "rb") as audio:
                count, rate = audio.getnframes(), audio.getframerate()
                frames = struct.unpack(f"<{count}h", audio.readframes(count))
        except (wave.Error, EOFError) as error:
            raise BadRequestError(str(error)) from error
        rises = sum(1 for before, after in itertools.pairwise(frames) if before < 0 <= after)
        pitch = round(rises * rate / count, -2) if count else 0
        return f"{count / rate:.2f} s at {pitch:.0f} Hz"

    def validate_credentials(self, model: str, credentials: Mapping[str, Any]) -> None:
        del model
        check_key(credentials)

    @property
    def _invoke_error_mapping(self) -> dict[type[InvokeError], list[type[Exception]]]:
        return ERROR_MAPPING
