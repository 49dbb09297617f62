"""The form of an error for a plugin: one line of text, and fields for programs."""

from typing import Any, Final

from invokeq.protocol.errors import (
    CredentialsError,
    InvocationTimeoutError,
    InvokeqError,
    PermissionDeniedError,
    ProviderUnavailableError,
    RateLimitedError,
    RequestError,
    UnavailableError,
)

_DIFY_CLASSES: Final[tuple[tuple[type[InvokeqError], str], ...]] = (
    (CredentialsError, "InvokeAuthorizationError"),
    (RateLimitedError, "InvokeRateLimitError"),
    (ProviderUnavailableError, "InvokeServerUnavailableError"),
    (UnavailableError, "InvokeConnectionError"),
    (InvocationTimeoutError, "InvokeConnectionError"),
    (RequestError, "InvokeBadRequestError"),
)


def error_text(error: Exception) -> str:
    """Return the text that the SDK raises: the problem, then code and request id in brackets.

    The SDK raises a plain `Exception` with the text, so the text holds all facts for the plugin.
    Denied permissions have Dify's own wording, without a suffix. The text for an error outside of
    InvokeqError names only the class, because the message may quote a prompt or a key.
    """
    if isinstance(error, PermissionDeniedError):
        return str(error)
    if not isinstance(error, InvokeqError):
        return f"An error inside invokeq, {type(error).__name__}; its log says more [internal]"
    tail = [error.code]
    if error.retry_after is not None:
        tail.append(f"retry after {error.retry_after:g} s")
    if error.request_id is not None and error.request_id not in str(error):
        tail.append(f"request {error.request_id}")
    return f"{error} [{', '.join(tail)}]"


def error_args(error: Exception) -> dict[str, Any]:
    """Return the error as an object: Dify's `error_type`, `message`, and invokeq's own `args`."""
    if not isinstance(error, InvokeqError):
        name = type(error).__name__
        return {"error_type": "InvokeError", "message": error_text(error), "args": {"class": name}}
    dify = next((name for cls, name in _DIFY_CLASSES if isinstance(error, cls)), "InvokeError")
    known = {
        "code": error.code,
        "retryable": error.retryable,
        "retry_after": error.retry_after,
        "request_id": error.request_id,
        "provider": error.provider,
        "model": error.model,
    }
    args = {key: value for key, value in known.items() if value is not None}
    return {"error_type": dify, "message": str(error), "args": args}
