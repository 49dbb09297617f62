"""Turns what a plugin's code raised into our error tree.

The SDK gives the name of the exception's class and its text. Plugins map their vendor's exceptions
to Dify's five, but what is raised while a stream runs arrives as the vendor's SDK raised it; the
names below are those of the common ones. What nobody can place stays a PluginFailedError, whose
text, which may quote anything, is for the worker's log.
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
    # A vendor that refuses a key likes to quote it.
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
    """Builds the errors of one provider; `secrets` never appear in them."""

    def __init__(self, provider: str, secrets: Iterable[str]) -> None:
        self._provider = provider
        self._secrets = sorted(filter(None, secrets), key=len, reverse=True)

    def translated(self, error: InvokeqError, model: str, chunks: int = 0) -> InvokeqError:
        """Give the error for a caller; `chunks` were said before."""
        where: dict[str, Any] = {"provider": self._provider, "model": model}
        if isinstance(error, PluginCrashedError):
            # What a process says in its last words may come from another caller.
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
            log.warning("plugin %s failed with %s: %s", error.plugin, error.error_type, detail)
            detail = "the worker's log has more"
        return PluginFailedError(
            plugin=error.plugin,
            error_type=error.error_type,
            message=detail,
            chunks=chunks,
            **where,
        )

    def refused(self, error: PluginFailedError, model: str | None = None) -> CredentialsError:
        """Build the error for credentials that the plugin's own validator refused."""
        detail = one_line(error.message, self._secrets)
        problem = f"the plugin refuses them ({error.error_type}: {detail})"
        return CredentialsError(provider=self._provider, model=model, problem=problem)

    def unusable(self, model: str, problem: str) -> UnusableAnswerError:
        """Build the error for an answer that is none."""
        problem = one_line(problem, self._secrets)
        return UnusableAnswerError(provider=self._provider, model=model, problem=problem)
