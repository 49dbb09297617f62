"""Look-up of providers: by entry point, by table of invokeq.toml, and by a caller's name.

A provider type is an entry point of the group `invokeq.providers`, naming a `Provider` subclass.
Other distributions add provider types the same way. Only configured types are imported.
"""

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

from invokeq.protocol.errors import (
    InvalidConfigurationError,
    MissingExtraError,
    ProviderNotFoundError,
)
from invokeq.protocol.names import canonical_provider
from invokeq_providers.base import Provider
from invokeq_providers.options import CONFIG_SOURCE
from invokeq_providers.wrappers.shared_embedding import SharedEmbedding

ENTRY_POINT_GROUP: Final = "invokeq.providers"


def provider_types() -> dict[str, EntryPoint]:
    """Return the installed provider types by name, without importing any."""
    return {entry.name: entry for entry in entry_points(group=ENTRY_POINT_GROUP)}


def build_providers(tables: Mapping[str, Mapping[str, Any]]) -> dict[str, Provider]:
    """Build the providers of the tables `[providers.<name>]`, by canonical name.

    A table's key `type` names the provider type, by default the table's own name. Raises
    `InvalidConfigurationError` or `MissingExtraError`, and the errors of the constructors.
    """
    types = provider_types()
    providers: dict[str, Provider] = {}
    for table, options in tables.items():
        # Two spellings may mean one provider: `openai` and `langgenius/openai/openai`.
        name = canonical_provider(table)
        if name in providers:
            raise InvalidConfigurationError(
                source=CONFIG_SOURCE,
                setting=f"providers.{table}",
                problem=f"a provider called {name} is configured already",
            )
        rest = {key: value for key, value in options.items() if key != "type"}
        cls = _provider_class(table, str(options.get("type", name)), types)
        provider = cls(name, rest)
        batch = provider.batch
        providers[name] = provider if batch is None else SharedEmbedding(provider, batch)
    return providers


def find_provider(providers: Mapping[str, Provider], name: str) -> Provider:
    """Return a provider by short name or full id, or raise `ProviderNotFoundError`."""
    provider = providers.get(canonical_provider(name))
    if provider is None:
        known = ", ".join(sorted(providers)) or "none"
        raise ProviderNotFoundError(provider=name, known=known)
    return provider


def _provider_class(table: str, type_name: str, types: Mapping[str, EntryPoint]) -> type[Provider]:
    setting = f"providers.{table}.type"
    entry = types.get(type_name)
    if entry is None:
        known = ", ".join(sorted(types)) or "none"
        raise InvalidConfigurationError(
            source=CONFIG_SOURCE,
            setting=setting,
            problem=f"no provider type is called {type_name!r}; there are: {known}",
        )
    try:
        cls = entry.load()
    except ModuleNotFoundError as error:
        # An extra that is not installed shows only now: entry points exist without their packages.
        raise _missing(setting, entry, error) from error
    if not (isinstance(cls, type) and issubclass(cls, Provider)):
        raise InvalidConfigurationError(
            source=CONFIG_SOURCE, setting=setting, problem=f"{entry.value} is not a Provider"
        )
    return cls


def _missing(
    setting: str, entry: EntryPoint, error: ModuleNotFoundError
) -> MissingExtraError | InvalidConfigurationError:
    """Return an error naming the missing package: an extra of invokeq, or another module."""
    if entry.value.startswith("invokeq_providers."):
        return MissingExtraError(
            feature=f"provider {entry.name}", package=error.name or "?", extra=entry.name
        )
    return InvalidConfigurationError(
        source=CONFIG_SOURCE, setting=setting, problem=f"{entry.value} needs module {error.name}"
    )
