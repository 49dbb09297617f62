"""The provider of the two tools."""

from typing import Any

from dify_plugin import ToolProvider


class AskModelProvider(ToolProvider):
    """Has no credentials of its own: those of the models are none of a plugin's business."""

    def _validate_credentials(self, credentials: dict[str, Any]) -> None:
        pass
