"""Load the settings: the environment, then invokeq.toml, then built-in defaults.

One pass finds all mistakes, and each names the file or variable to change.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic_settings import EnvSettingsSource

from invokeq.protocol.errors import ConfigurationError, InvalidConfigurationError
from invokeq.protocol.names import canonical_provider
from invokeq_worker.config.fields import Queue
from invokeq_worker.config.messages import Problem, explain, suggest
from invokeq_worker.config.models import LimitSettings, LogSettings
from invokeq_worker.config.permissions import read_manifest
from invokeq_worker.config.redis_settings import RedisSettings
from invokeq_worker.config.settings import DEFAULTS, Settings
from invokeq_worker.config.toml_file import expand, read_toml
from invokeq_worker.config.values import split_model

CONFIG_VARIABLE: Final = "INVOKEQ_CONFIG"
"""Names the configuration file when the command line does not."""

DEFAULT_FILE: Final = Path("invokeq.toml")
"""The default file, in the working directory."""

_OVERRIDABLE: Final[Mapping[str, type[BaseModel]]] = {
    "redis": RedisSettings,
    "limits": LimitSettings,
    "log": LogSettings,
}


class _EnvironmentTables(EnvSettingsSource):
    """Overrides from the environment, such as INVOKEQ_REDIS_URL or INVOKEQ_LIMITS_RESULT_TTL."""

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

    Raises InvalidConfigurationError for the first mistake; `read_settings` lists all.
    """
    loaded = read_settings(path, env)
    if isinstance(loaded, Settings):
        return loaded
    raise loaded[0]


def read_settings(
    path: Path | None = None, env: Mapping[str, str] = os.environ
) -> Settings | list[InvalidConfigurationError]:
    """Load the settings like `load_settings`, or return every mistake."""
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
    """Yield the mistakes across two tables, such as a queue of an unknown provider."""
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
    """Return one error for each setting: the first problem, which causes the others."""
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
