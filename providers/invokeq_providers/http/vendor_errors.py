"""Mapping of the exceptions of a vendor's SDK and HTTP client to the error tree."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

import orjson

from invokeq.protocol.errors import (
    InvokeqError,
    ProviderSilenceError,
    ProviderUnavailableError,
)
from invokeq_providers.http.reported import reported_failure
from invokeq_providers.http.sse import EventTooLargeError
from invokeq_providers.http.status_errors import Failure, error_from_failure, one_line

T = TypeVar("T")

_SHOWN_BYTES: Final = 500  # of a body that is no answer


class Progress(Protocol):
    """The number of chunks emitted so far for an answer."""

    chunks: int


@dataclass(frozen=True, slots=True)
class ErrorKinds:
    """The exceptions of one SDK and of the HTTP client under it.

    `faults` are the base classes of all exceptions. `silences` stand for a read timeout. `wrappers`
    are exceptions with a more precise cause. `failure` reads exceptions with an HTTP status. `lost`
    returns whether a new connection is likely to help: the error then has `reconnect`.
    """

    faults: tuple[type[Exception], ...]
    silences: tuple[type[Exception], ...]
    wrappers: tuple[type[Exception], ...]
    failure: Callable[[Exception], Failure | None]
    lost: Callable[[Exception], bool] = lambda _: False


class VendorErrors:
    """Builder of one provider's errors; `secrets` never appear in an error's text."""

    def __init__(
        self, provider: str, kinds: ErrorKinds, read_timeout: float, secrets: Sequence[str]
    ) -> None:
        self._provider = provider
        self._kinds = kinds
        self._read_timeout = read_timeout
        self._secrets = secrets

    @asynccontextmanager
    async def translated(
        self, model: str, progress: Progress | None = None
    ) -> AsyncGenerator[None, None]:
        """Raise every fault in the block as an `InvokeqError`; cancellation passes unchanged."""
        try:
            yield
        except self._kinds.faults as error:
            raise self._from_fault(model, error, _chunks(progress)) from error
        except OSError as error:
            raise self.unavailable(model, _describe(error), _chunks(progress)) from error
        except (orjson.JSONDecodeError, EventTooLargeError) as error:
            raise self.malformed(model, error, _chunks(progress)) from error

    def read(self, model: str, reader: Callable[[Any], T], event: Any, chunks: int = 0) -> T:
        """Return an answer read by `reader`; errors of the reader count as the vendor's fault."""
        try:
            return reader(event)
        except (ValueError, TypeError, AttributeError, LookupError) as error:
            failure = reported_failure(event, chunks)
            if failure is not None:
                raise self.from_failure(model, failure) from error
            raise self.malformed(model, error, chunks) from error

    def from_failure(self, model: str, failure: Failure) -> InvokeqError:
        """Build the error for a failure reported by the vendor."""
        cleaned = Failure(
            failure.status,
            one_line(failure.detail, self._secrets),
            code=failure.code,
            retry_after=failure.retry_after,
            chunks=failure.chunks,
        )
        return error_from_failure(cleaned, provider=self._provider, model=model)

    def broken_off(self, model: str, chunks: int) -> InvokeqError:
        """Build the error for a stream ended before the end of the answer."""
        return self.unavailable(model, "it ended the stream before the end of the answer", chunks)

    def malformed(self, model: str, error: Exception, chunks: int = 0) -> InvokeqError:
        """Build the error for an unreadable answer."""
        return self.unavailable(model, f"its answer cannot be read ({_describe(error)})", chunks)

    def unexpected(self, model: str, body: bytes, problem: str) -> InvokeqError:
        """Build the error for a body that is no answer: the failure it reports, else its words."""
        failure = reported_failure(body)
        if failure is not None:
            return self.from_failure(model, failure)
        words = body[:_SHOWN_BYTES].decode(errors="replace")
        return self.malformed(model, ValueError(f"{problem}: {words}"))

    def unavailable(self, model: str, detail: str, chunks: int = 0) -> ProviderUnavailableError:
        """Build the error for a vendor unable to answer now."""
        detail = one_line(detail, self._secrets)
        return ProviderUnavailableError(
            provider=self._provider, model=model, detail=detail, chunks=chunks
        )

    def _from_fault(self, model: str, error: Exception, chunks: int) -> InvokeqError:
        failure = self._kinds.failure(error)
        if failure is not None:
            return self.from_failure(model, failure)
        # The cause is more precise: a wrapper of a read timeout looks like any lost connection.
        cause = error.__cause__ if isinstance(error, self._kinds.wrappers) else None
        if isinstance(cause or error, self._kinds.silences):
            return ProviderSilenceError(
                provider=self._provider, model=model, seconds=self._read_timeout, chunks=chunks
            )
        unavailable = self.unavailable(model, _describe(cause or error), chunks)
        if self._kinds.lost(error):
            unavailable.reconnect = True
        return unavailable


def _chunks(progress: Progress | None) -> int:
    return 0 if progress is None else progress.chunks


def _describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
