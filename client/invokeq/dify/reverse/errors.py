"""What a plugin is told of an error: one line of text, and its fields for programs."""

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
    """Give the text that the SDK raises: what is wrong, then in brackets the code and the request.

    The SDK makes a plain `Exception` of it, so whatever a plugin is to know has to be in the text.
    Denied permissions are worded as Dify words them, and nothing is added. Of an error of unknown
    kind only the type is told.
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
    """Give the error as an object: `error_type` by Dify's names, `message`, and in `args` ours."""
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
