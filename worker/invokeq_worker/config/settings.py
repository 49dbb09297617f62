"""The operator's settings as one frozen object; `loading` reads file and environment.

No `repr`, `str` or JSON of the settings shows a credential.
"""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Final

from pydantic import Field, PrivateAttr, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from invokeq.protocol.errors import InvalidConfigurationError
from invokeq.protocol.names import canonical_provider
from invokeq_worker.config.fields import ModelName, Name, Queue
from invokeq_worker.config.messages import suggest
from invokeq_worker.config.models import (
    FallbackList,
    LimitSettings,
    LogSettings,
    PermissionSettings,
    PluginSettings,
    PoolSettings,
    RetrySettings,
    SystemSettings,
)
from invokeq_worker.config.permissions import Permissions
from invokeq_worker.config.provider_settings import ProviderSettings
from invokeq_worker.config.redis_settings import RedisSettings
from invokeq_worker.config.values import ModelRef, split_model

DEFAULTS: Final = "defaults"
"""The `Settings.source` of settings without a file."""


class Settings(BaseSettings):
    """All settings of an operator; made by `load_settings`."""

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        env_prefix="INVOKEQ_",
        env_nested_delimiter="_",
        env_nested_max_split=1,
    )

    redis: RedisSettings = RedisSettings()
    providers: Annotated[dict[Name, ProviderSettings], Field(min_length=1)] = {
        "local": ProviderSettings(type="local")
    }
    pools: Annotated[dict[Name, PoolSettings], Field(min_length=1)] = {
        "llm": PoolSettings(queues=("llm",))
    }
    limits: LimitSettings = LimitSettings()
    retries: RetrySettings = RetrySettings()
    fallbacks: dict[ModelName, FallbackList] = {}
    plugins: dict[Name, PluginSettings] = {}
    permissions: PermissionSettings = PermissionSettings()
    system: SystemSettings = SystemSettings()
    log: LogSettings = LogSettings()
    _source: str = PrivateAttr(default=DEFAULTS)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # load_settings reads file and environment, so that each mistake can name its origin.
        return (init_settings,)

    @field_validator("providers")
    @classmethod
    def _canonical(cls, tables: dict[str, ProviderSettings]) -> dict[str, ProviderSettings]:
        named: dict[str, ProviderSettings] = {}
        for name, table in tables.items():
            canonical = canonical_provider(name)
            if canonical in named:
                raise ValueError(f"{canonical} is configured twice")
            named[canonical] = table
        return named

    @property
    def source(self) -> str:
        """The path of the file, or `defaults`."""
        return self._source

    @property
    def names_redis(self) -> bool:
        """Whether the file or the environment sets the URL of Redis."""
        return "url" in self.redis.model_fields_set

    @property
    def trusted_plugins(self) -> frozenset[str]:
        """Plugins with the right to act on behalf of others."""
        return frozenset(name for name, plugin in self.plugins.items() if plugin.trusted)

    def permissions_of_plugins(self) -> Permissions:
        """Read the manifests and return the permissions of all plugins.

        Relative paths start at the directory of the settings file.
        """
        directory = Path() if self.source == DEFAULTS else Path(self.source).parent
        return Permissions.load(self.plugins, self.permissions, directory)

    def pool(self, name: str) -> PoolSettings:
        """Return a pool; raise InvalidConfigurationError, with the pools, for a wrong name."""
        if name not in self.pools:
            raise InvalidConfigurationError(
                source=self.source,
                setting="pools",
                problem=f"no pool is called {name!r}; {suggest(name, self.pools)}",
            )
        return self.pools[name]

    def provider_tables(self, pool: str | None = None) -> dict[str, dict[str, Any]]:
        """Return the tables for `build_providers`: of the providers of a pool, or of all."""
        tables = {name: provider.table() for name, provider in self.providers.items()}
        if pool is None:
            return tables
        wanted = {Queue.parse(queue).provider for queue in self.pool(pool).queues}
        return {name: table for name, table in tables.items() if None in wanted or name in wanted}

    def fallback_models(self) -> dict[ModelRef, list[ModelRef]]:
        """Return the fallback lists, without models of unconfigured providers."""
        found: dict[ModelRef, list[ModelRef]] = {}
        for name, others in self.fallbacks.items():
            asked = split_model(name, self.providers)
            refs = [split_model(other, self.providers) for other in others]
            if asked is not None:
                found[asked] = [ref for ref in refs if ref is not None]
        return found

    def needed_tables(self, pool: str) -> dict[str, dict[str, Any]]:
        """Return the tables of the providers of a pool, and of all fallbacks."""
        tables = self.provider_tables(pool)
        models = self.fallback_models()
        others = {
            ref.provider for asked in models if asked.provider in tables for ref in models[asked]
        }
        every = self.provider_tables()
        return {name: every[name] for name in every if name in tables or name in others}

    def secrets(self) -> frozenset[str]:
        """Return every credential in clear, as written, for redaction."""
        found = [secret for provider in self.providers.values() for secret in provider.secrets()]
        return frozenset([*found, self.redis.url_text])
