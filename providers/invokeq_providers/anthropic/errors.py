"""Errors of the Anthropic SDK, and errors reported inside a stream."""

import time
from http import HTTPStatus
from typing import Any, Final

import anthropic
import httpx2

from invokeq_providers.http.event_stream import type_of
from invokeq_providers.http.reported import NO_REASON, reported_failure, said_in
from invokeq_providers.http.status_errors import Failure, retry_after_seconds
from invokeq_providers.http.vendor_errors import ErrorKinds, VendorErrors


def _failure(error: Exception) -> Failure | None:
    if not isinstance(error, anthropic.APIStatusError):
        return None
    return Failure(
        status=error.status_code,
        detail=said_in(error.body) or error.message,
        retry_after=retry_after_seconds(error.response.headers, time.time()),
    )


HTTP_FAULTS: Final = (httpx2.HTTPError, httpx2.StreamError)
KINDS: Final = ErrorKinds(
    faults=(anthropic.AnthropicError, *HTTP_FAULTS),
    silences=(httpx2.ReadTimeout,),
    wrappers=(anthropic.APIConnectionError,),
    failure=_failure,
)


def raise_reported(errors: VendorErrors, model: str, event: Any, chunks: int) -> None:
    """Raise the error that an event of a stream reports, if any; `chunks` were emitted before.

    Raise TypeError for an event without a type.
    """
    kind = type_of(event)
    if kind is None:
        raise TypeError("an event without a type")
    if kind != "error":
        return
    # The status of the response was 200 already: the type of the error stands for the status.
    failure = reported_failure(event, chunks)
    if failure is None:
        failure = Failure(HTTPStatus.INTERNAL_SERVER_ERROR, NO_REASON, chunks=chunks)
    raise errors.from_failure(model, failure)
