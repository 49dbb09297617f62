"""Find out which providers answer on which queue of a pool."""

from collections.abc import Mapping

from invokeq.protocol.errors import InvalidConfigurationError
from invokeq_providers.base import Provider
from invokeq_providers.registry import build_providers
from invokeq_worker.config.fields import Queue
from invokeq_worker.config.messages import Problem
from invokeq_worker.config.settings import Settings


def served_providers(
    settings: Settings, pool: str, providers: Mapping[str, Provider] | None = None
) -> dict[str, list[str]]:
    """Return the canonical names of the providers for each queue of a pool.

    Queues and providers stay in order. A queue `<model type>` is served by all providers of the
    type, `<model type>.<provider>` by one. `providers` are built from the settings by default.
    Raises InvalidConfigurationError for a queue without a provider, or MissingExtraError if a
    provider lacks a package for the model type.
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
