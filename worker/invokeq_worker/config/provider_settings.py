"""`[providers.<name>]`: options for the provider alone, with credentials hidden."""

from collections.abc import Callable
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

from pydantic import ConfigDict, SecretStr, model_validator

from invokeq_worker.config.fields import Table
from invokeq_worker.config.messages import KeyPath
from invokeq_worker.config.toml_file import map_leaves

_SECRET_WORDS: Final = ("key", "token", "secret", "password", "auth", "credential")


class ProviderSettings(Table):
    """`[providers.<name>]`: the type, and options for the provider alone."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="allow")

    type: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _wrap_secrets(cls, table: Any) -> Any:
        return map_leaves(table, _wrap_secret)

    def table(self) -> dict[str, Any]:
        """Return the table as written, with credentials in clear, for `build_providers`."""
        return self._with_secrets(SecretStr.get_secret_value)

    def shown(self) -> dict[str, Any]:
        """Return the table for people to read, with `***` in place of credentials."""
        return self._with_secrets(lambda _: "***")

    def secrets(self) -> list[str]:
        """Return the credentials in clear."""
        found: list[str] = []
        self._with_secrets(lambda secret: found.append(secret.get_secret_value()))
        return found

    def _with_secrets(self, change: Callable[[SecretStr], Any]) -> dict[str, Any]:
        return map_leaves(
            self.model_dump(exclude_none=True),
            lambda _, value: change(value) if isinstance(value, SecretStr) else value,
        )


def _wrap_secret(path: KeyPath, value: Any) -> Any:
    """Wrap a value in SecretStr if the key names a credential, or if a URL has a password."""
    if not isinstance(value, str):
        return value
    keys = [step.lower() for step in path if isinstance(step, str)]
    named = any(word in key for key in keys for word in _SECRET_WORDS)
    return SecretStr(value) if named or _has_password(value) else value


def _has_password(text: str) -> bool:
    try:
        return urlsplit(text).password is not None
    except ValueError:  # not a URL
        return False
