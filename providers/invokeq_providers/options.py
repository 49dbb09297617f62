"""The options of a provider: a table in invokeq.toml, checked by a pydantic model."""

from collections.abc import Mapping
from typing import Any, ClassVar, Final, TypeVar

from pydantic import BaseModel, ConfigDict, PositiveFloat, PositiveInt, ValidationError

from invokeq.protocol.errors import InvalidConfigurationError

CONFIG_SOURCE: Final = "invokeq.toml"


class ProviderOptions(BaseModel):
    """Options of every provider: `models` adds or changes model facts (see `models.facts`)."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True
    )

    models: dict[str, dict[str, Any]] = {}


class Batch(BaseModel):
    """Bounds of a shared embedding call: `texts` at most, `wait_ms` milliseconds for company."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True
    )

    texts: PositiveInt = 128
    wait_ms: PositiveFloat = 5.0


class BatchableOptions(ProviderOptions):
    """Options with `batch`, for shared embedding calls; see `wrappers.shared_embedding`."""

    batch: Batch | None = None


OptionsT = TypeVar("OptionsT", bound=BaseModel)


def parse_options(cls: type[OptionsT], name: str, options: Mapping[str, Any]) -> OptionsT:
    """Return the checked options, or raise `InvalidConfigurationError` naming the key."""
    try:
        return cls.model_validate(dict(options))
    except ValidationError as error:
        # Without its cause: pydantic's error holds the input, and that may be a credential.
        raise configuration_error(f"providers.{name}", error, cls) from None


def configuration_error(
    prefix: str, error: ValidationError, cls: type[BaseModel]
) -> InvalidConfigurationError:
    """Return an error about one setting, from the first problem found by pydantic."""
    first = error.errors(include_input=False, include_url=False)[0]
    problem = first["msg"]
    if first["type"] == "extra_forbidden":
        problem = f"no such option; there are: {', '.join(sorted(cls.model_fields))}"
    setting = ".".join([prefix, *(str(part) for part in first["loc"])])
    return InvalidConfigurationError(source=CONFIG_SOURCE, setting=setting, problem=problem)
