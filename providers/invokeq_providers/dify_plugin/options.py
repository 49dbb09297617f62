"""The table of a plugin in invokeq.toml."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PositiveFloat

from invokeq.dify.plugins.process import START_TIMEOUT
from invokeq_providers.options import BatchableOptions


class DifyPluginOptions(BatchableOptions):
    """`path` is a folder or a .difypkg file; `provider` is needed where that brings several.

    `credentials` are those of the provider, named as in the plugin's form; a table in `models` may
    have its own. `python` is an interpreter with everything the plugin needs, instead of a venv of
    its own. `env` is for settings of the SDK such as MAX_REQUEST_TIMEOUT, never for credentials.
    `start_timeout` is in seconds.
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
