"""The provider of the tools."""

from typing import Any

from dify_plugin import ToolProvider
from dify_plugin.errors.tool import ToolProviderCredentialValidationError


class ToolboxProvider(ToolProvider):
    """Takes every key but one."""

    def _validate_credentials(self, credentials: dict[str, Any]) -> None:
        if credentials.get("api_key") == "wrong":
            raise ToolProviderCredentialValidationError("the key is not one of ours")
