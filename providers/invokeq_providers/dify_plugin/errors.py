"""Convert exceptions of a plugin's code to our error tree.

The SDK reports the name of the exception's class, and the text. Plugins map the vendor's exceptions
to Dify's five. Exceptions raised while a stream runs arrive unmapped, from the vendor's SDK; the
table below has the common names. Any other exception becomes a PluginFailedError. Such a text may
quote anything, and goes to the worker's log only.
"""

import logging
import re
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final

from invokeq.protocol.errors import (
    CredentialsError,
    InvokeqError,
    PluginCrashedError,
    PluginFailedError,
    ProviderUnavailableError,
    RateLimitedError,
    RejectedByProviderError,
    UnusableAnswerError,
)
from invokeq_providers.http.status_errors import Failure, error_from_failure, one_line

Build = Callable[[str, int, Mapping[str, Any]], InvokeqError]

# "status code 429", "HTTP 429", "Error code: 429": how SDKs and plugins quote an HTTP status.
_STATUS: Final = re.compile(
    r"(?:status(?:[ _]code)?|HTTP|error code)[:= ]*\b([45]\d\d)\b", re.IGNORECASE
)
_IN_DIFYS_WORDS: Final = frozenset({"InvokeError"})

log: Final = logging.getLogger(__name__)


def _limited(detail: str, _chunks: int, where: Mapping[str, Any]) -> InvokeqError:
    return RateLimitedError(detail=detail, **where)


def _refused(_detail: str, _chunks: int, where: Mapping[str, Any]) -> InvokeqError:
    # No detail: a vendor's refusal often quotes the key.
    return CredentialsError(problem="the plugin says that they are refused", **where)


def _rejected(detail: str, _chunks: int, where: Mapping[str, Any]) -> InvokeqError:
    return RejectedByProviderError(status=int(HTTPStatus.BAD_REQUEST), detail=detail, **where)


def _unavailable(detail: str, chunks: int, where: Mapping[str, Any]) -> InvokeqError:
    return ProviderUnavailableError(detail=detail, chunks=chunks, **where)


_KINDS: Final[Mapping[str, Build]] = {
    **dict.fromkeys(["InvokeRateLimitError", "RateLimitError", "TooManyRequests"], _limited),
    **dict.fromkeys(
        [
            "InvokeAuthorizationError",
            "CredentialsValidateFailedError",
            "AuthenticationError",
            "PermissionDeniedError",
            "UnauthorizedError",
        ],
        _refused,
    ),
    **dict.fromkeys(
        ["InvokeBadRequestError", "BadRequestError", "UnprocessableEntityError", "NotFoundError"],
        _rejected,
    ),
    **dict.fromkeys(
        [
            "InvokeConnectionError",
            "InvokeServerUnavailableError",
            "APIConnectionError",
            "APITimeoutError",
            "ChunkedEncodingError",
            "ConnectError",
            "ConnectTimeout",
            "ConnectionError",
            "ConnectionResetError",
            "InternalServerError",
            "ReadError",
            "ReadTimeout",
            "RemoteProtocolError",
            "ServiceUnavailableError",
            "Timeout",
            "TimeoutError",
        ],
        _unavailable,
    ),
}


class PluginErrors:
    """Builds the errors of one provider; no error text contains one of `secrets`."""

    def __init__(self, provider: str, secrets: Iterable[str]) -> None:
        self._provider = provider
        # Longest first, because one secret may contain another.
        self._secrets = sorted(filter(None, secrets), key=len, reverse=True)

    def translated(self, error: InvokeqError, model: str, chunks: int = 0) -> InvokeqError:
        """Return the error for a caller; `chunks` were emitted before."""
        where: dict[str, Any] = {"provider": self._provider, "model": model}
        if isinstance(error, PluginCrashedError):
            # Without stderr: the last lines of a process may come from the call of another caller.
            return PluginCrashedError(
                plugin=error.plugin,
                problem=error.problem,
                chunks=chunks,
                retry_after=error.retry_after,
                **where,
            )
        if not isinstance(error, PluginFailedError):
            return error
        detail = one_line(error.message, self._secrets)
        build = _KINDS.get(error.error_type)
        if build is not None:
            return build(detail, chunks, where)
        status = _STATUS.search(detail)
        if status is not None:
            failure = Failure(int(status[1]), detail, chunks=chunks)
            return error_from_failure(failure, provider=self._provider, model=model)
        if error.error_type not in _IN_DIFYS_WORDS:
            log.warning(
                "plugin call failed plugin=%s type=%s problem=%s",
                error.plugin,
                error.error_type,
                detail,
            )
            detail = "the worker's log has more"
        return PluginFailedError(
            plugin=error.plugin,
            error_type=error.error_type,
            message=detail,
            chunks=chunks,
            **where,
        )

    def refused(self, error: PluginFailedError, model: str | None = None) -> CredentialsError:
        """Return the error for credentials refused by the plugin's own validator."""
        detail = one_line(error.message, self._secrets)
        problem = f"the plugin refuses them ({error.error_type}: {detail})"
        return CredentialsError(provider=self._provider, model=model, problem=problem)

    def unusable(self, model: str, problem: str) -> UnusableAnswerError:
        """Return the error for a malformed answer."""
        problem = one_line(problem, self._secrets)
        return UnusableAnswerError(provider=self._provider, model=model, problem=problem)
