"""One call, checked and encoded, but not sent."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from invokeq.operations.options import CallOptions, SessionOptions
from invokeq.protocol import codec
from invokeq.protocol.errors import RequestTooLargeError
from invokeq.protocol.requests import CallRequest
from invokeq.results.decode import ResultDecoder

Item = TypeVar("Item")
Result = TypeVar("Result")

# Covariant, so that calls of several kinds go into one list.
Item_co = TypeVar("Item_co", covariant=True)
Result_co = TypeVar("Result_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Call(Generic[Item_co, Result_co]):
    """A call ready to be submitted; made by `session.model.<kind>.prepare(...)`.

    A call may be submitted once or many times. Each time is a separate invocation, unless the call
    has a `request_id`. A deadline in seconds counts from `prepare`.
    """

    request: CallRequest
    payload: bytes
    file: bytes | None
    options: CallOptions
    decoder: ResultDecoder[Item_co, Result_co]

    @property
    def size(self) -> int:
        """Return the bytes of request and file, before compression."""
        return len(self.payload) + len(self.file or b"")


def build_call(
    session: SessionOptions,
    request: CallRequest,
    options: CallOptions,
    decoder: ResultDecoder[Item, Result],
    file: bytes | None = None,
) -> Call[Item, Result]:
    """Encode a request, without sending; RequestTooLargeError above the session's size bounds."""
    # The bounds are those before compression: a worker has to hold the request decompressed.
    call = Call(request, codec.encode_request(request), file, options, decoder)
    if len(call.payload) > session.max_request_bytes:
        limit = session.max_request_bytes
        raise _too_large("request", len(call.payload), limit, "max_request_bytes")
    if file is not None and len(file) > session.max_file_bytes:
        raise _too_large("file", len(file), session.max_file_bytes, "max_file_bytes")
    return call


def _too_large(field: str, size: int, limit: int, setting: str) -> RequestTooLargeError:
    return RequestTooLargeError(field=field, size=size, limit=limit, setting=setting)
