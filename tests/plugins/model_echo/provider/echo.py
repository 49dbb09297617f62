"""The provider: a key that begins with `echo-` is a good one."""

from typing import Any

from dify_plugin import ModelProvider
from models.shared import check_key


class EchoProvider(ModelProvider):
    """Checks the credentials of the provider."""

    def validate_provider_credentials(self, credentials: dict[str, Any]) -> None:
        check_key(credentials)
