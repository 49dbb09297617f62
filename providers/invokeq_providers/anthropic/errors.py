"""Errors of the Anthropic SDK, and errors reported inside a stream."""

import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import anthropic
import httpx2

from invokeq_providers.http.event_stream import type_of
from invokeq_providers.http.status_errors import Failure, retry_after_seconds
from invokeq_providers.http.vendor_errors import ErrorKinds, VendorErrors, said_in

# "Errors" in the API documentation: the type of an error stands for its status.
_STATUS_OF: Final[Mapping[str, int]] = {
    "invalid_request_error": HTTPStatus.BAD_REQUEST,
    "authentication_error": HTTPStatus.UNAUTHORIZED,
    "billing_error": HTTPStatus.PAYMENT_REQUIRED,
    "permission_error": HTTPStatus.FORBIDDEN,
    "not_found_error": HTTPStatus.NOT_FOUND,
    "request_too_large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "rate_limit_error": HTTPStatus.TOO_MANY_REQUESTS,
    "timeout_error": HTTPStatus.GATEWAY_TIMEOUT,
    "overloaded_error": 529,
}


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
    status = _STATUS_OF.get(type_of(event.get("error")) or "", HTTPStatus.INTERNAL_SERVER_ERROR)
    detail = said_in(event) or "no reason given"
    raise errors.from_failure(model, Failure(status, detail, chunks=chunks))
