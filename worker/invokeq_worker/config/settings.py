"""The operator's settings: the environment, then invokeq.toml, then defaults that work alone.

Frozen once loaded. No `repr`, `str` or JSON of them shows a credential.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, Field, PrivateAttr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from invokeq.protocol.errors import ConfigurationError, InvalidConfigurationError
from invokeq.protocol.names import canonical_provider
from invokeq_providers.base import Provider
from invokeq_providers.registry import build_providers
from invokeq_worker.config.messages import Problem, explain, suggest
from invokeq_worker.config.models import (
    FallbackList,
    LimitSettings,
    LogSettings,
    ModelName,
    Name,
    PermissionSettings,
    PluginSettings,
    PoolSettings,
    ProviderSettings,
    Queue,
    RedisSettings,
    RetrySettings,
    SystemSettings,
)
from invokeq_worker.config.permissions import Permissions, read_manifest
from invokeq_worker.config.toml_file import expand, read_toml
from invokeq_worker.vendor.fallbacks import split_model
from invokeq_worker.vendor.vendor_calls import ModelRef

CONFIG_VARIABLE: Final = "INVOKEQ_CONFIG"
"""Names the configuration file when the command line does not."""

DEFAULT_FILE: Final = Path("invokeq.toml")
"""Read when nobody names a file and there is one in the working directory."""

DEFAULTS: Final = "defaults"
"""What `Settings.source` says when no file was read."""

_OVERRIDABLE: Final[Mapping[str, type[BaseModel]]] = {
    "redis": RedisSettings,
    "limits": LimitSettings,
    "log": LogSettings,
}


class Settings(BaseSettings):
    """Everything an operator can set; `load_settings` makes one."""

    model_config = SettingsConfigDict(
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
        # load_settings reads file and environment itself, so that each mistake can name its origin.
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
        """Whether somebody said where Redis is, in the file or in the environment."""
        return "url" in self.redis.model_fields_set

    @property
    def trusted_plugins(self) -> frozenset[str]:
        """Plugins that may speak for others."""
        return frozenset(name for name, plugin in self.plugins.items() if plugin.trusted)

    def permissions_of_plugins(self) -> Permissions:
        """Read the manifests and give what each plugin may do; paths start at the file's own
        directory."""
        directory = Path() if self.source == DEFAULTS else Path(self.source).parent
        return Permissions.load(self.plugins, self.permissions, directory)

    def pool(self, name: str) -> PoolSettings:
        """Look a pool up, or raise InvalidConfigurationError that offers those there are."""
        if name not in self.pools:
            raise InvalidConfigurationError(
                source=self.source,
                setting="pools",
                problem=f"no pool is called {name!r}; {suggest(name, self.pools)}",
            )
        return self.pools[name]

    def provider_tables(self, pool: str | None = None) -> dict[str, dict[str, Any]]:
        """Give the tables that `build_providers` takes: those a pool can need, or all of them."""
        tables = {name: provider.table() for name, provider in self.providers.items()}
        if pool is None:
            return tables
        wanted = {Queue.parse(queue).provider for queue in self.pool(pool).queues}
        return {name: table for name, table in tables.items() if None in wanted or name in wanted}

    def fallback_models(self) -> dict[ModelRef, list[ModelRef]]:
        """Give the fallback lists; what names no configured provider is left out."""
        found: dict[ModelRef, list[ModelRef]] = {}
        for name, others in self.fallbacks.items():
            asked = split_model(name, self.providers)
            refs = [split_model(other, self.providers) for other in others]
            if asked is not None:
                found[asked] = [ref for ref in refs if ref is not None]
        return found

    def needed_tables(self, pool: str) -> dict[str, dict[str, Any]]:
        """Give the tables of the providers that a pool serves, and of those that stand in."""
        tables = self.provider_tables(pool)
        models = self.fallback_models()
        others = {
            ref.provider for asked in models if asked.provider in tables for ref in models[asked]
        }
        every = self.provider_tables()
        return {name: every[name] for name in every if name in tables or name in others}

    def secrets(self) -> frozenset[str]:
        """Give every credential in clear, as it was written: what no log may show."""
        found = [secret for provider in self.providers.values() for secret in provider.secrets()]
        return frozenset([*found, self.redis.url_text])


class _EnvironmentTables(EnvSettingsSource):
    """What the environment overrides: INVOKEQ_REDIS_URL, INVOKEQ_LIMITS_RESULT_TTL and the like."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        super().__init__(Settings)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        # Known names only: Kubernetes sets INVOKEQ_REDIS_PORT for a service called invokeq-redis.
        variables = (
            _variable(table, field)
            for table, cls in _OVERRIDABLE.items()
            for field in cls.model_fields
        )
        return {name.lower(): self._env[name] for name in variables if self._env.get(name)}


def load_settings(path: Path | None = None, env: Mapping[str, str] = os.environ) -> Settings:
    """Load the settings from `path`, else $INVOKEQ_CONFIG, else ./invokeq.toml, else defaults.

    Raises InvalidConfigurationError for the first mistake; `read_settings` lists all of them.
    """
    loaded = read_settings(path, env)
    if isinstance(loaded, Settings):
        return loaded
    raise loaded[0]


def read_settings(
    path: Path | None = None, env: Mapping[str, str] = os.environ
) -> Settings | list[InvalidConfigurationError]:
    """Load the settings like `load_settings`, or list every mistake in them."""
    path = path or _default_path(env)
    source = DEFAULTS if path is None else str(path)
    try:
        written = {} if path is None else read_toml(path)
    except InvalidConfigurationError as error:
        return [error]
    tables, unexpanded = expand(written, env)
    overrides = _EnvironmentTables(env)()
    problems = [problem for problem in unexpanded if not _is_overridden(problem, overrides)]
    settings = None
    try:
        settings = Settings.model_validate(_merged(tables, overrides))
    except ValidationError as error:
        problems += explain(error, Settings)
    else:
        problems += _contradictions(settings)
        problems += _unreadable_manifests(settings, Path() if path is None else path.parent)
    if settings is None or problems:
        return _errors(problems, source, overrides)
    settings._source = source  # pyright: ignore[reportPrivateUsage] -- set once, here
    return settings


def served_providers(
    settings: Settings, pool: str, providers: Mapping[str, Provider] | None = None
) -> dict[str, list[str]]:
    """Give the providers that answer on each queue of a pool, by canonical name, both in order.

    Queue `<model type>` is served with all providers that have the type, and
    `<model type>.<provider>` with that one. `providers` are those of `build_providers`; without
    them they are built. A queue that nobody can serve is an InvalidConfigurationError, or a
    MissingExtraError if a provider lacks a package for it.
    """
    if providers is None:
        providers = build_providers(settings.provider_tables(pool))
    served: dict[str, list[str]] = {}
    for index, name in enumerate(settings.pool(pool).queues):
        queue = Queue.parse(name)
        candidates = list(providers) if queue.provider is None else [queue.provider]
        served[name] = [n for n in candidates if queue.model_type in providers[n].model_types]
        if not served[name]:
            for candidate in candidates:
                if queue.model_type in providers[candidate].missing:
                    raise providers[candidate].missing[queue.model_type]
            has = "no provider has" if queue.provider is None else f"{queue.provider} has no"
            raise InvalidConfigurationError(
                source=settings.source,
                setting=Problem(("pools", pool, "queues", index), "").setting,
                problem=f"{has} {queue.model_type.value} models; configure one, or take {name} out",
            )
    return served


def _default_path(env: Mapping[str, str]) -> Path | None:
    if env.get(CONFIG_VARIABLE):
        return Path(env[CONFIG_VARIABLE])
    return DEFAULT_FILE if DEFAULT_FILE.is_file() else None


def _variable(*path: str | int) -> str:
    return "_".join(["INVOKEQ", *(str(step) for step in path)]).upper()


def _is_overridden(problem: Problem, overrides: Mapping[str, Any]) -> bool:
    match problem.path:
        case (str() as table, field):
            return field in overrides.get(table, ())
        case _:
            return False


def _merged(tables: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(tables)
    for name, values in overrides.items():
        table = merged.get(name, {})
        merged[name] = {**table, **values} if isinstance(table, dict) else table
    return merged


def _contradictions(settings: Settings) -> Iterator[Problem]:
    """Find what no table can know alone: queues restricted to a provider that is not configured."""
    for pool, table in settings.pools.items():
        for index, queue in enumerate(map(Queue.parse, table.queues)):
            name = queue.provider
            if name is not None and name not in settings.providers:
                text = f"no provider is called {name!r}; {suggest(name, settings.providers)}"
                yield Problem(("pools", pool, "queues", index), text)
    yield from _unknown_fallbacks(settings)
    if settings.system.summary_model is not None:
        provider = canonical_provider(settings.system.summary_model.rpartition("/")[0])
        if provider not in settings.providers:
            text = f"no provider is called {provider!r}; {suggest(provider, settings.providers)}"
            yield Problem(("system", "summary_model"), text)


def _unknown_fallbacks(settings: Settings) -> Iterator[Problem]:
    for name, others in settings.fallbacks.items():
        for place, model in (((), name), *(((i,), other) for i, other in enumerate(others))):
            if split_model(model, settings.providers) is None:
                offer = suggest(model.partition("/")[0], settings.providers)
                text = f"{model} names no configured provider; {offer}"
                yield Problem(("fallbacks", name, *place), text)
            elif place and split_model(model, settings.providers) == split_model(
                name, settings.providers
            ):
                yield Problem(("fallbacks", name, *place), "is the model that it stands in for")


def _unreadable_manifests(settings: Settings, directory: Path) -> Iterator[Problem]:
    for name, plugin in settings.plugins.items():
        if not plugin.manifest:
            continue
        try:
            read_manifest(directory / plugin.manifest)
        except ConfigurationError as error:
            yield Problem(("plugins", name, "manifest"), str(error))


def _errors(
    problems: list[Problem], source: str, overrides: Mapping[str, Any]
) -> list[InvalidConfigurationError]:
    """Make one error a setting: the first thing wrong with it is the cause of the others."""
    first: dict[str, InvalidConfigurationError] = {}
    for problem in problems:
        origin = _variable(*problem.path) if _is_overridden(problem, overrides) else source
        first.setdefault(
            problem.setting,
            InvalidConfigurationError(
                source=origin, setting=problem.setting or "file", problem=problem.text
            ),
        )
    return list(first.values())
