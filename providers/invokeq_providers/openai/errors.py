"""The exceptions of the OpenAI SDK, and the errors inside a stream."""

import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final, cast

import httpx2
import openai

from invokeq_providers.http.client import lost_before_answer
from invokeq_providers.http.status_errors import Failure, retry_after_seconds
from invokeq_providers.http.vendor_errors import ErrorKinds, VendorErrors, said_in

# What an error inside a stream says where an HTTP status would be.
_STATUS_OF: Final = {
    "rate_limit": HTTPStatus.TOO_MANY_REQUESTS,
    "insufficient_quota": HTTPStatus.TOO_MANY_REQUESTS,
    "authentication": HTTPStatus.UNAUTHORIZED,
    "permission": HTTPStatus.FORBIDDEN,
    "not_found": HTTPStatus.NOT_FOUND,
    "invalid": HTTPStatus.BAD_REQUEST,
    "context": HTTPStatus.BAD_REQUEST,
}
_ERROR_STATUSES: Final = range(400, 600)


def _failure(error: Exception) -> Failure | None:
    if not isinstance(error, openai.APIStatusError):
        return None
    return Failure(
        status=error.status_code,
        detail=said_in(error.body) or error.message,
        code=error.code,
        retry_after=retry_after_seconds(error.response.headers, time.time()),
    )


def _lost(error: Exception) -> bool:
    return isinstance(error, openai.APIConnectionError) and lost_before_answer(error)


HTTP_FAULTS: Final = (httpx2.HTTPError, httpx2.StreamError)
KINDS: Final = ErrorKinds(
    faults=(openai.OpenAIError, *HTTP_FAULTS),
    silences=(httpx2.ReadTimeout,),
    wrappers=(openai.APIConnectionError,),
    failure=_failure,
    lost=_lost,
)


def raise_reported(errors: VendorErrors, model: str, event: Any, chunks: int) -> None:
    """Raise the error that an event of a stream reports, if it is one."""
    if not isinstance(event, dict):
        raise errors.malformed(model, TypeError("an event that is no object"), chunks)
    error = cast(Mapping[str, Any], event).get("error")
    if not error:
        return
    fields: Mapping[str, Any] = {}
    if isinstance(error, Mapping):
        fields = cast(Mapping[str, Any], error)
    code = fields.get("code")
    kind = f"{fields.get('type') or ''} {code or ''}".lower()
    status = next((s for word, s in _STATUS_OF.items() if word in kind), None)
    if isinstance(code, int) and code in _ERROR_STATUSES:  # as llama.cpp's server says it
        status = code
    failure = Failure(
        status or HTTPStatus.INTERNAL_SERVER_ERROR,
        said_in(error) or "no reason given",
        code=str(code) if code else None,
        chunks=chunks,
    )
    raise errors.from_failure(model, failure)
