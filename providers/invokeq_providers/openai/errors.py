"""The exceptions of the OpenAI SDK, and the errors inside a stream."""

import time
from collections.abc import Mapping
from typing import Any, Final, cast

import httpx2
import openai

from invokeq_providers.http.client import lost_before_answer
from invokeq_providers.http.reported import reported_failure, said_in
from invokeq_providers.http.status_errors import Failure, retry_after_seconds
from invokeq_providers.http.vendor_errors import ErrorKinds, VendorErrors


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
    """Raise the error that an event of a stream reports, if the event reports one."""
    if not isinstance(event, dict):
        # Google's servers wrap an error in a list.
        failure = reported_failure(event, chunks)
        if failure is None:
            raise errors.malformed(model, TypeError("an event that is no object"), chunks)
        raise errors.from_failure(model, failure)
    fields = cast(Mapping[str, Any], event)
    # Most events add text: they have a choice that goes on, and no error.
    if "error" in fields or not fields.get("choices") or _has_ended(fields["choices"]):
        failure = reported_failure(fields, chunks)
        if failure is not None:
            raise errors.from_failure(model, failure)


def _has_ended(choices: Any) -> bool:
    choice = choices[0] if isinstance(choices, list) else None  # pyright: ignore[reportUnknownVariableType]
    return isinstance(choice, dict) and ("error" in choice or bool(choice.get("finish_reason")))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
