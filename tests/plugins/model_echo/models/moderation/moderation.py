"""Finds a text sensitive that shouts: more capital letters than small ones."""

from collections.abc import Mapping
from typing import Any

from dify_plugin import ModerationModel
from dify_plugin.errors.model import InvokeError
from models.shared import ERROR_MAPPING, check_call, check_key


class EchoModerationModel(ModerationModel):
    """Judges by the letters."""

    def _invoke(
        self, model: str, credentials: dict[str, Any], text: str, user: str | None = None
    ) -> bool:
        del model, user
        check_call(credentials, text)
        return sum(map(str.isupper, text)) > sum(map(str.islower, text))

    def validate_credentials(self, model: str, credentials: Mapping[str, Any]) -> None:
        del model
        check_key(credentials)

    @property
    def _invoke_error_mapping(self) -> dict[type[InvokeError], list[type[Exception]]]:
        return ERROR_MAPPING
