"""The table of a plugin in invokeq.toml."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PositiveFloat

from invokeq.dify.plugins.process import START_TIMEOUT
from invokeq_providers.options import BatchableOptions


class DifyPluginOptions(BatchableOptions):
    """Options of a provider of the type `dify_plugin`.

    `path` is a folder or a .difypkg file; `provider` is needed for a plugin with several providers.
    `credentials` belong to the provider, with the names of the plugin's form; a table in `models`
    may have separate credentials. `python` is an interpreter with all packages of the plugin, and
    replaces the plugin's venv. `env` is for settings of the SDK such as MAX_REQUEST_TIMEOUT, never
    for credentials. `start_timeout` is in seconds.
    """

    path: Path
    provider: str | None = None
    credentials: dict[str, Any] = Field(default_factory=dict)
    validate_credentials: bool = True
    processes: Annotated[int, Field(ge=1, le=64)] = 1
    python: Path | None = None
    env: dict[str, str] = Field(default_factory=dict)
    start_timeout: PositiveFloat = START_TIMEOUT
    counts_tokens: bool = True
