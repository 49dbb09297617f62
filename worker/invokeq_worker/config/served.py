"""Which providers answer on which queue of a pool."""

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
