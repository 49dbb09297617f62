"""The tables of invokeq.toml, one frozen model each.

No `repr`, `str` or JSON of them shows a credential.
"""

from collections.abc import Callable
from typing import Annotated, Any, Final, Literal, NamedTuple, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)
from redis import ConnectionPool

from invokeq.protocol.directory import QueueBounds
from invokeq.protocol.entities import ModelType
from invokeq.protocol.errors import InvalidConfigurationError, InvalidRequestError
from invokeq.protocol.names import canonical_provider
from invokeq.protocol.redis.address import parse_address
from invokeq.protocol.redis.keys import check_name
from invokeq_worker.config.messages import KeyPath, suggest
from invokeq_worker.config.retry_policy import RetryPolicy
from invokeq_worker.config.toml_file import map_leaves
from invokeq_worker.streams.event_stream import RETENTION
from invokeq_worker.streams.window import LEAST_WINDOW, Window

_SECRET_WORDS: Final = ("key", "token", "secret", "password", "auth", "credential")
_SCHEMES: Final = ("redis", "rediss", "unix")


def _no_bool(value: Any) -> Any:
    # pydantic takes true for 1
    if isinstance(value, bool):
        raise ValueError("must be a number")
    return value


def _key_name(name: str) -> str:
    try:
        return check_name("name", name)
    except InvalidRequestError as error:
        raise ValueError(error.fields["problem"]) from None


Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False), BeforeValidator(_no_bool)]
Count = Annotated[int, Field(ge=1), BeforeValidator(_no_bool)]
Depth = Annotated[int, Field(ge=0), BeforeValidator(_no_bool)]
Name = Annotated[str, AfterValidator(_key_name)]


class Queue(NamedTuple):
    """What the name of a queue says: `<model type>` or `<model type>.<provider>`."""

    model_type: ModelType
    provider: str | None

    @property
    def name(self) -> str:
        """The name, with the provider's canonical name."""
        return ".".join(filter(None, (self.model_type.value, self.provider)))

    @classmethod
    def parse(cls, name: str) -> Self:
        """Split a name; ValueError offers the model types that there are."""
        kind, _, provider = name.partition(".")
        known = [member.value for member in ModelType]
        if kind not in known:
            raise ValueError(f"no model type is called {kind!r}; {suggest(kind, known)}")
        if name != kind and not provider:
            raise ValueError(f"names no provider after the dot; write {kind} or {kind}.<provider>")
        return cls(ModelType(kind), canonical_provider(_key_name(provider)) if provider else None)


def _queue_name(name: str) -> str:
    return Queue.parse(name).name


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def _model_name(name: str) -> str:
    provider, slash, model = name.partition("/")
    if not (provider and slash and model):
        raise ValueError("must be provider/model, such as openai/gpt-4o-mini")
    return name


ModelName = Annotated[str, AfterValidator(_model_name)]


class TenantSettings(_Table):
    """`[system.tenants.<tenant>]`: what differs for one tenant."""

    summary_model: ModelName


class SystemSettings(_Table):
    """`[system]`: the models that calls use which name none; `provider/model`."""

    summary_model: ModelName | None = None
    tenants: dict[str, TenantSettings] = {}

    def summary_model_of(self, tenant: str | None) -> str | None:
        """Give the model that summarises for a tenant."""
        own = self.tenants.get(tenant) if tenant is not None else None
        return self.summary_model if own is None else own.summary_model


def _check_several(url: str) -> None:
    """Raise ValueError for a URL of a cluster or of Sentinels that cannot be used."""
    try:
        address = parse_address(url)
        ConnectionPool.from_url(address.url_of(address.nodes[0])).make_connection()
    except InvalidConfigurationError as error:
        raise ValueError(error.fields["problem"]) from None
    except (ValueError, TypeError):
        raise ValueError("has an option after the ? that redis-py does not take") from None


class RedisSettings(_Table):
    """`[redis]`: where the broker is; `connect_timeout` in seconds."""

    url: SecretStr = SecretStr("redis://localhost:6379/0")
    connect_timeout: Seconds = 5.0

    @field_validator("url")
    @classmethod
    def _usable(cls, url: SecretStr) -> SecretStr:
        # Messages name parts of the URL, never the URL: it may hold a password.
        if "+" in url.get_secret_value().partition("://")[0]:
            _check_several(url.get_secret_value())
            return url
        parts = urlsplit(url.get_secret_value())
        if parts.scheme not in _SCHEMES:
            raise ValueError("must start with redis://, rediss:// or unix://")
        if parts.scheme == "unix" and not parts.path:
            raise ValueError("names no socket; write unix:///path/to/redis.sock")
        if parts.scheme != "unix" and not parts.hostname:
            raise ValueError(f"names no host; write {parts.scheme}://host:6379/0")
        try:
            _ = parts.port
        except ValueError:
            raise ValueError("has a port that is not a number from 0 to 65535") from None
        if parts.scheme != "unix" and not (parts.path.strip("/") or "0").isdigit():
            raise ValueError("has a database that is not a number")
        try:
            ConnectionPool.from_url(url.get_secret_value()).make_connection()  # opens nothing
        except (ValueError, TypeError):
            raise ValueError("has an option after the ? that redis-py does not take") from None
        return url

    @property
    def url_text(self) -> str:
        """The URL in clear, for connecting; show `address` instead."""
        return self.url.get_secret_value()

    @property
    def address(self) -> str:
        """The URL without user, password and options, for people to read."""
        parts = urlsplit(self.url_text)
        host = parts.netloc.rpartition("@")[2]
        return f"{parts.scheme}://{host}{parts.path}"


class ProviderSettings(_Table):
    """`[providers.<name>]`: its type, and options that only the provider understands."""

    model_config = ConfigDict(extra="allow")

    type: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _wrap_secrets(cls, table: Any) -> Any:
        return map_leaves(table, _wrap_secret)

    def table(self) -> dict[str, Any]:
        """Give the table as it was written, credentials in clear: what `build_providers` takes."""
        return self._with_secrets(SecretStr.get_secret_value)

    def shown(self) -> dict[str, Any]:
        """Give the table for people to read: `***` in place of credentials."""
        return self._with_secrets(lambda _: "***")

    def secrets(self) -> list[str]:
        """Give the credentials in clear."""
        found: list[str] = []
        self._with_secrets(lambda secret: found.append(secret.get_secret_value()))
        return found

    def _with_secrets(self, change: Callable[[SecretStr], Any]) -> dict[str, Any]:
        return map_leaves(
            self.model_dump(exclude_none=True),
            lambda _, value: change(value) if isinstance(value, SecretStr) else value,
        )


class PoolSettings(_Table):
    """`[pools.<name>]`: which queues it serves, in order, and how much at once in each process."""

    queues: Annotated[tuple[Annotated[str, AfterValidator(_queue_name)], ...], Field(min_length=1)]
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


class LimitSettings(_Table):
    """`[limits]`: times in seconds; docs/operators.md explains each."""

    result_ttl: Count = 600
    failure_ttl: Count = 86_400
    queue_ttl: Count = 86_400
    provider_silence: Seconds = 300.0
    shutdown_grace: Seconds = 30.0
    redis_retention: Seconds = RETENTION
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
        """How much may wait."""
        return QueueBounds(lane=self.lane_depth, queue=self.queue_depth, tenant=self.tenant_depth)

    @property
    def window(self) -> Window:
        """What of a stream may lie in Redis."""
        return Window(self.window_events, self.window_bytes, self.detached_bytes)


class RetryOverride(_Table):
    """`[retries.providers.<name>]`: what differs for the calls of one provider."""

    calls: Annotated[Count, Field(le=20)] | None = None
    base: Seconds | None = None
    cap: Seconds | None = None
    longest_wait: Seconds | None = None


class RetrySettings(_Table):
    """`[retries]`: vendor calls that fail before they have said anything; times in seconds."""

    calls: Annotated[Count, Field(le=20)] = RetryPolicy().calls
    base: Seconds = RetryPolicy().base
    cap: Seconds = RetryPolicy().cap
    longest_wait: Seconds = RetryPolicy().longest_wait
    providers: dict[Name, RetryOverride] = {}

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
        """Give what applies to the calls of a provider."""
        own = self.providers.get(provider, RetryOverride()) if provider else RetryOverride()
        common = self.model_dump(exclude={"providers"})
        return RetryPolicy(**{**common, **own.model_dump(exclude_none=True)})


ANY: Final = "*"
"""As a pattern: whatever there is."""


def _pattern_of_model(pattern: str) -> str:
    if pattern != ANY and "/" not in pattern:
        raise ValueError(f"must be provider/model, such as openai/gpt-4o*, or {ANY} for any")
    return pattern


def _model_type(name: str) -> str:
    known = [member.value for member in ModelType]
    if name not in (ANY, *known):
        raise ValueError(f"no model type is called {name!r}; {suggest(name, known)}")
    return name


class PluginSettings(_Table):
    """`[plugins.<name>]`: what a plugin may ask for.

    `models`, `model_types` and `tenants` are patterns; `manifest` is a path. A trusted plugin may
    speak for other plugins, as a gateway does.
    """

    trusted: bool = False
    manifest: str = ""
    models: tuple[Annotated[str, AfterValidator(_pattern_of_model)], ...] = (ANY,)
    model_types: tuple[Annotated[str, AfterValidator(_model_type)], ...] = (ANY,)
    tenants: tuple[str, ...] = (ANY,)


class PermissionSettings(_Table):
    """`[permissions]`: what becomes of plugins that have no table of their own."""

    unknown: Literal["allow", "deny"] = "allow"


class LogSettings(_Table):
    """`[log]`: what goes to stderr, and how."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["console", "json"] = "console"


def _wrap_secret(path: KeyPath, value: Any) -> Any:
    """Put into SecretStr what is a credential by its key, or is a URL with a password."""
    if not isinstance(value, str):
        return value
    keys = [step.lower() for step in path if isinstance(step, str)]
    named = any(word in key for key in keys for word in _SECRET_WORDS)
    return SecretStr(value) if named or _has_password(value) else value


def _has_password(text: str) -> bool:
    try:
        return urlsplit(text).password is not None
    except ValueError:  # not a URL
        return False
