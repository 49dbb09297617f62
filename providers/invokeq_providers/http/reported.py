"""Read what a vendor says of a failure, in any of the shapes that vendors have for an error.

Pure. The shapes are those of OpenAI (`error`), Anthropic (`type: error`), Cohere (`message`), Jina
and FastAPI (`detail`, also as a list), Google (a list of `error`), SiliconFlow (`code`, `message`),
Baidu (`error_code`, `error_msg`), MiniMax (`base_resp`), OpenRouter (`choices[0].error`).
"""

from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final, cast

import orjson

from invokeq_providers.http.status_errors import Failure

NO_REASON: Final = "no reason given"

_WORDS: Final = (
    "error",
    "errors",
    "message",
    "msg",
    "error_msg",
    "error_message",
    "error_description",
    "status_msg",
    "detail",
    "base_resp",
)
_CODES: Final = ("code", "status", "error_code", "status_code", "type")
_ANSWERS: Final = ("choices", "data", "results", "embeddings", "text", "delta", "content")
"""The fields of answers: words beside one of them are no error, unless they are named `error`."""

# The words of codes and types stand for a status; the first that is found counts. Sources: "Error
# codes" (OpenAI), "Errors" (Anthropic), google.rpc.Code.
_STATUS_OF: Final[Mapping[str, int]] = {
    "rate_limit": HTTPStatus.TOO_MANY_REQUESTS,
    "too_many_requests": HTTPStatus.TOO_MANY_REQUESTS,
    "resource_exhausted": HTTPStatus.TOO_MANY_REQUESTS,
    "insufficient_quota": HTTPStatus.TOO_MANY_REQUESTS,
    "billing": HTTPStatus.PAYMENT_REQUIRED,
    "overloaded": 529,
    "timeout": HTTPStatus.GATEWAY_TIMEOUT,
    "unavailable": HTTPStatus.SERVICE_UNAVAILABLE,
    "api_key": HTTPStatus.UNAUTHORIZED,
    "authentication": HTTPStatus.UNAUTHORIZED,
    "unauthenticated": HTTPStatus.UNAUTHORIZED,
    "unauthorized": HTTPStatus.UNAUTHORIZED,
    "permission": HTTPStatus.FORBIDDEN,
    "not_found": HTTPStatus.NOT_FOUND,
    "too_large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "invalid": HTTPStatus.BAD_REQUEST,
    "context": HTTPStatus.BAD_REQUEST,
}
_FAILED: Final[Mapping[str, int]] = {
    "error": HTTPStatus.INTERNAL_SERVER_ERROR,
    "abort": HTTPStatus.INTERNAL_SERVER_ERROR,
    "network_error": HTTPStatus.BAD_GATEWAY,
    "insufficient_system_resource": HTTPStatus.SERVICE_UNAVAILABLE,
    "malformed_function_call": HTTPStatus.INTERNAL_SERVER_ERROR,
}
"""Finish reasons of answers that failed: OpenRouter's, vLLM's, Zhipu's, DeepSeek's, Gemini's."""

_DEPTH: Final = 4  # of errors inside errors
_CODE_DIGITS: Final = (3, 5)  # of codes that begin with a status: 503, 50501
_STATUSES: Final = range(400, 600)


def said_in(body: Any) -> str | None:
    """Return the vendor's own words in the body of a failed request, or None if it has none."""
    words = dict.fromkeys(text for text in _words(body, _DEPTH) if text)
    return ": ".join(words) or None


def parsed(body: bytes | bytearray) -> Any:
    """Return the JSON value of a body, or None if the body is no JSON."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def reported_failure(body: Any, chunks: int = 0) -> Failure | None:
    """Return the failure that an answer with HTTP 200 reports, or None if the answer reports none.

    `body` is the JSON of the answer or of one event, parsed or as bytes.
    """
    if isinstance(body, bytes | bytearray):
        body = parsed(body)
    if isinstance(body, list):
        first = cast(list[Any], body)[:1]
        return reported_failure(first[0], chunks) if first else None
    if not isinstance(body, Mapping):
        return None
    fields = cast(Mapping[str, Any], body)
    choice = _choice(fields)
    reason = choice.get("finish_reason")
    for found in (fields.get("error"), fields.get("errors"), choice.get("error")):
        if _is_error(found):
            return _failure(fields, found, chunks)
    if isinstance(reason, str) and reason.lower() in _FAILED:
        said = said_in(choice.get("error")) or f"the answer ended with {reason!r}"
        return Failure(_FAILED[reason.lower()], said, chunks=chunks)
    if any(fields.get(name) for name in _ANSWERS):
        return None
    return _failure(fields, fields, chunks) if said_in(fields) else None


def _choice(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    choices = fields.get("choices")
    return _fields(cast(list[Any], choices)[0] if isinstance(choices, list) and choices else None)


def _fields(value: Any) -> Mapping[str, Any]:
    return cast(Mapping[str, Any], value) if isinstance(value, Mapping) else {}


def _is_error(found: Any) -> bool:
    """Return whether a field named `error` says anything: some vendors send an empty one along."""
    if isinstance(found, Mapping):
        return any(cast(Mapping[str, Any], found).values())
    return bool(found)


def _failure(fields: Mapping[str, Any], error: Any, chunks: int) -> Failure:
    inner = _fields(cast(list[Any], error)[0] if isinstance(error, list) and error else error)
    codes = [
        code
        for level in (inner, *map(_fields, inner.values()), fields)
        for name in _CODES
        if (code := level.get(name)) and isinstance(code, str | int)
    ]
    named = next((str(code) for code in codes if not isinstance(code, int)), None)
    return Failure(
        _status(codes) or _status([said_in(error) or ""], strict=True) or 500,
        said_in(error) or said_in(fields) or NO_REASON,
        code=next((str(c) for c in codes if str(c) == "insufficient_quota"), named),
        chunks=chunks,
    )


def _status(codes: Sequence[str | int], *, strict: bool = False) -> int | None:
    """Return the status that codes or words stand for; `strict` reads the two plainest alone."""
    for code in codes:
        digits = str(code)
        if digits.isascii() and digits.isdigit() and len(digits) in _CODE_DIGITS:
            status = int(digits[:3])
            if status in _STATUSES:
                return status
    kinds = " ".join(str(code) for code in codes).lower().replace(" ", "_").replace("-", "_")
    words = ("rate_limit", "too_many_requests", "overloaded") if strict else tuple(_STATUS_OF)
    return next((_STATUS_OF[word] for word in words if word in kinds), None)


def _words(body: Any, depth: int) -> Iterator[str]:
    if isinstance(body, str):
        yield body.strip()
    elif depth and isinstance(body, list):
        for item in cast(list[Any], body):
            yield from _words(item, depth - 1)
    elif depth and isinstance(body, Mapping):
        fields = cast(Mapping[str, Any], body)
        for name in _WORDS:
            yield from _words(fields.get(name), depth - 1)
