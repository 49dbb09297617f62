"""Show the effective configuration, and all its problems."""

from collections.abc import Mapping
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table

from invokeq.protocol.errors import InvalidConfigurationError, InvokeqError
from invokeq_providers.base import Provider
from invokeq_providers.options import CONFIG_SOURCE
from invokeq_providers.registry import build_providers
from invokeq_worker.config.loading import read_settings
from invokeq_worker.config.served import served_providers
from invokeq_worker.config.settings import Settings
from invokeq_worker.process.exit_status import FAILED
from invokeq_worker.redis.server_check import check_server, open_client
from invokeq_worker.vendor.fallbacks import check_fallbacks


def check_config(path: Path | None) -> int:
    """Print the configuration, and each problem on stderr; return the exit code."""
    loaded = read_settings(path)
    problems: list[InvokeqError] = []
    if isinstance(loaded, Settings):
        problems += _check(loaded)
    else:
        problems += loaded
    for problem in problems:
        typer.echo(f"error: {problem}", err=True)
    return FAILED if problems else 0


def _check(settings: Settings) -> list[InvokeqError]:
    providers, problems = _build_each(settings)
    redis, redis_problems = _look_at_redis(settings)
    pools, pool_problems = _look_at_pools(settings, providers)
    console = Console(highlight=False, markup=False)
    console.print(f"Configuration: {settings.source}\nRedis: {settings.redis.address} ({redis})")
    console.print(_provider_table(settings, providers))
    console.print(pools)
    if settings.plugins:
        console.print(_plugin_table(settings))
    fallback_problems: list[InvokeqError] = []
    if settings.provider_tables().keys() <= providers.keys():
        fallbacks = settings.fallback_models()
        fallback_problems += check_fallbacks(fallbacks, providers, settings.source)
    return [*problems, *redis_problems, *pool_problems, *fallback_problems]


def _build_each(settings: Settings) -> tuple[dict[str, Provider], list[InvokeqError]]:
    """Build the providers one by one, so one problem hides no other."""
    providers: dict[str, Provider] = {}
    problems: list[InvokeqError] = []
    for name, table in settings.provider_tables().items():
        try:
            providers.update(build_providers({name: table}))
        except InvokeqError as error:
            problems.append(_with_source(error, settings.source))
    return providers, problems


def _with_source(error: InvokeqError, source: str) -> InvokeqError:
    """Return the error with the name of the settings file, which providers do not know."""
    if not isinstance(error, InvalidConfigurationError) or error.source != CONFIG_SOURCE:
        return error
    return InvalidConfigurationError(source=source, setting=error.setting, problem=error.problem)


def _look_at_redis(settings: Settings) -> tuple[str, list[InvokeqError]]:
    with open_client(settings.redis) as client:
        try:
            check_server(client, settings.redis.address)
        except InvokeqError as error:
            return "cannot be used", [error]
    return "ok", []


def _look_at_pools(
    settings: Settings, providers: Mapping[str, Provider]
) -> tuple[Table, list[InvokeqError]]:
    table = Table("pool", "queue", "served by", "at once", title="Pools", title_justify="left")
    problems: list[InvokeqError] = []
    for name, pool in settings.pools.items():
        served: dict[str, list[str]] = {}
        if settings.provider_tables(name).keys() <= providers.keys():
            try:
                served = served_providers(settings, name, providers)
            except InvokeqError as error:
                problems.append(error)
        for index, queue in enumerate(pool.queues):
            size = f"{pool.processes} x {pool.concurrency}"
            first = (name, size) if index == 0 else ("", "")
            table.add_row(first[0], queue, ", ".join(served.get(queue, ["?"])), first[1])
    return table, problems


def _plugin_table(settings: Settings) -> Table:
    """Return the plugins as written by the operator, without manifests."""
    unknown = f"Plugins; others: {settings.permissions.unknown}"
    columns = ("plugin", "manifest", "models", "model types", "tenants", "trusted")
    table = Table(*columns, title=unknown, title_justify="left")
    for name, plugin in settings.plugins.items():
        lists = (plugin.models, plugin.model_types, plugin.tenants)
        shown = (", ".join(patterns) or "none" for patterns in lists)
        table.add_row(name, plugin.manifest or "-", *shown, "yes" if plugin.trusted else "no")
    return table


def _provider_table(settings: Settings, providers: Mapping[str, Provider]) -> Table:
    table = Table("provider", "type", "models", "options", title="Providers", title_justify="left")
    for name, configured in settings.providers.items():
        options = configured.shown()
        kind = options.pop("type", name)
        shown = "\n".join(f"{key} = {value}" for key, value in options.items())
        table.add_row(name, kind, _models(providers.get(name)), shown)
    return table


def _models(provider: Provider | None) -> str:
    if provider is None:
        return "?"
    listed = str(len(provider.models()))
    return f"{listed} and any other" if provider.any_model else listed
