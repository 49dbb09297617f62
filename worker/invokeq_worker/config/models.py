"""The tables of invokeq.toml, one frozen model each; `[redis]` and `[providers]` have own files.

No `repr`, `str` or JSON of a table shows a credential.
"""

from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from invokeq.protocol.directory import QueueBounds
from invokeq.protocol.entities import ModelType
from invokeq.protocol.names import canonical_provider
from invokeq_worker.config.fields import (
    Count,
    Depth,
    ModelName,
    Name,
    QueueName,
    Seconds,
    Table,
)
from invokeq_worker.config.messages import suggest
from invokeq_worker.config.retry_policy import RetryPolicy
from invokeq_worker.config.values import LEAST_WINDOW, REDIS_RETENTION, Window


class TenantSettings(Table):
    """`[system.tenants.<tenant>]`: exceptions for one tenant."""

    summary_model: ModelName


class SystemSettings(Table):
    """`[system]`: models for calls without one, written `provider/model`."""

    summary_model: ModelName | None = None
    tenants: dict[str, TenantSettings] = Field(default={})

    def summary_model_of(self, tenant: str | None) -> str | None:
        """Return the summary model of a tenant, or None."""
        own = self.tenants.get(tenant) if tenant is not None else None
        return self.summary_model if own is None else own.summary_model


class PoolSettings(Table):
    """`[pools.<name>]`: the queues in order, the processes, and the runs at once in each."""

    queues: Annotated[tuple[QueueName, ...], Field(min_length=1)]
    concurrency: Annotated[Count, Field(le=10_000)] = 500
    processes: Annotated[Count, Field(le=256)] = 1

    @field_validator("queues")
    @classmethod
    def _distinct(cls, queues: tuple[str, ...]) -> tuple[str, ...]:
        for queue in queues:
            if queues.count(queue) > 1:
                raise ValueError(f"names {queue} twice")
        return queues


def _model_list(models: tuple[str, ...]) -> tuple[str, ...]:
    for name in models:
        if models.count(name) > 1:
            raise ValueError(f"names {name} twice")
    return models


FallbackList = Annotated[tuple[ModelName, ...], Field(min_length=1), AfterValidator(_model_list)]


class LimitSettings(Table):
    """`[limits]`: times in seconds; docs/operators.md explains each."""

    result_ttl: Count = 600
    failure_ttl: Count = 86_400
    queue_ttl: Count = 86_400
    provider_silence: Seconds = 300.0
    shutdown_grace: Seconds = 30.0
    redis_retention: Seconds = REDIS_RETENTION
    max_attempts: Count = 3
    lane_depth: Depth = QueueBounds().lane
    queue_depth: Depth = QueueBounds().queue
    tenant_depth: Depth = QueueBounds().tenant
    window_events: Annotated[Count, Field(ge=LEAST_WINDOW.events)] = Window().events
    window_bytes: Annotated[Count, Field(ge=LEAST_WINDOW.bytes)] = Window().bytes
    detached_bytes: Annotated[Count, Field(ge=LEAST_WINDOW.detached_bytes)] = (
        Window().detached_bytes
    )

    @property
    def bounds(self) -> QueueBounds:
        """How many jobs may wait in lanes and queues."""
        return QueueBounds(lane=self.lane_depth, queue=self.queue_depth, tenant=self.tenant_depth)

    @property
    def window(self) -> Window:
        """How much of a stream Redis may hold."""
        return Window(self.window_events, self.window_bytes, self.detached_bytes)


class RetryOverride(Table):
    """`[retries.providers.<name>]`: exceptions for the calls of one provider."""

    calls: Annotated[Count, Field(le=20)] | None = None
    base: Seconds | None = None
    cap: Seconds | None = None
    longest_wait: Seconds | None = None


class RetrySettings(Table):
    """`[retries]`: retries of vendor calls without output; times in seconds."""

    calls: Annotated[Count, Field(le=20)] = RetryPolicy().calls
    base: Seconds = RetryPolicy().base
    cap: Seconds = RetryPolicy().cap
    longest_wait: Seconds = RetryPolicy().longest_wait
    providers: dict[Name, RetryOverride] = Field(default={})

    @field_validator("providers")
    @classmethod
    def _canonical(cls, tables: dict[str, RetryOverride]) -> dict[str, RetryOverride]:
        return {canonical_provider(name): table for name, table in tables.items()}

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for name in (None, *self.providers):
            policy = self.policy_of(name)
            if policy.cap < policy.base:
                where = f" for {name}" if name else ""
                raise ValueError(f"cap must be at least base, which is {policy.base:g}{where}")
        return self

    def policy_of(self, provider: str | None) -> RetryPolicy:
        """Return the policy for the calls of a provider; without one, the common policy."""
        own = self.providers.get(provider, RetryOverride()) if provider else RetryOverride()
        common = self.model_dump(exclude={"providers"})
        return RetryPolicy(**{**common, **own.model_dump(exclude_none=True)})


ANY: Final = "*"
"""The pattern for every name."""


def _pattern_of_model(pattern: str) -> str:
    if pattern != ANY and "/" not in pattern:
        raise ValueError(f"must be provider/model, such as openai/gpt-4o*, or {ANY} for any")
    return pattern


def _model_type(name: str) -> str:
    known = [member.value for member in ModelType]
    if name not in (ANY, *known):
        raise ValueError(f"no model type is called {name!r}; {suggest(name, known)}")
    return name


class PluginSettings(Table):
    """`[plugins.<name>]`: the permissions of a plugin.

    `models`, `model_types` and `tenants` are patterns; `manifest` is a path. A trusted plugin may
    act on behalf of other plugins, as a gateway does.
    """

    trusted: bool = False
    manifest: str = ""
    models: tuple[Annotated[str, AfterValidator(_pattern_of_model)], ...] = (ANY,)
    model_types: tuple[Annotated[str, AfterValidator(_model_type)], ...] = (ANY,)
    tenants: tuple[str, ...] = (ANY,)


class PermissionSettings(Table):
    """`[permissions]`: whether plugins without a table of their own are served."""

    unknown: Literal["allow", "deny"] = "allow"


class LogSettings(Table):
    """`[log]`: level and format of the log on stderr."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["console", "json"] = "console"
