"""The encoding of requests inside an RQ job: JSON by orjson, with a version, within bounds.

A job's data is the JSON array `["invokeq_worker.entry.execute", null, [<envelope>], {}]`,
compressed by zlib as in RQ, unless small. No other data is ever decoded: pickles, other functions
and other versions are typed errors.
"""

import math
import zlib
from dataclasses import dataclass
from functools import cache, reduce
from typing import Annotated, Any, Final, cast

import orjson
from pydantic import Field, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from invokeq.protocol.errors import InvalidRequestError, ProtocolError, UnknownVersionError
from invokeq.protocol.kinds import call_kinds
from invokeq.protocol.requests import PROTOCOL_VERSION, BodyRef, CallRequest, Envelope

__all__ = [
    "ENTRY_POINT",
    "EncodedRequest",
    "INLINE_LIMIT",
    "MAX_JOB_BYTES",
    "OrjsonSerializer",
    "PART_SIZE",
    "decode_envelope",
    "decode_job",
    "decode_request",
    "encode",
    "encode_request",
    "find_non_finite",
    "first_problem",
    "join_body",
    "parts_beside",
    "request_adapter",
]

ENTRY_POINT: Final = "invokeq_worker.entry.execute"
"""The only function that a job may name."""

INLINE_LIMIT: Final = 32 * 1024
"""Bytes of the largest request inside a job; a larger request travels beside the job."""

PART_SIZE: Final = 512 * 1024
"""Bytes of one body part; small enough that no single Redis command stalls the server."""

MAX_JOB_BYTES: Final = 1024 * 1024
"""Bytes of a job's data after decompression, at most; an envelope is far smaller."""

_COMPRESSION_LEVEL: Final = 1
"""RQ reads any level; level 1 costs a third of the default and packs JSON nearly as well."""

_COMPRESSED_FROM: Final = 1024
"""Bytes of the smallest job data worth compressing; RQ reads plain data as well."""


class OrjsonSerializer:
    """RQ serializer over orjson.

    RQ's tools take the class as `-S invokeq.protocol.codec.OrjsonSerializer`.
    """

    @staticmethod
    def dumps(obj: Any, /) -> bytes:
        """Return a value as JSON; raise TypeError for a value without a JSON form."""
        return orjson.dumps(obj)

    @staticmethod
    def loads(data: bytes, /) -> Any:
        """Return the value of a JSON text; raise JSONDecodeError, a ValueError, for other bytes."""
        return orjson.loads(data)


@dataclass(frozen=True, slots=True)
class EncodedRequest:
    """A request ready for Redis: the job's data, and the parts beside the job."""

    job_data: bytes
    body_parts: tuple[bytes, ...] = ()
    file_parts: tuple[bytes, ...] = ()


def encode_request(request: CallRequest) -> bytes:
    """Encode a request as JSON.

    Raise InvalidRequestError for values without a JSON form: objects, NaN, broken text.
    """
    try:
        payload = request.model_dump_json()
    except PydanticSerializationError as error:
        raise InvalidRequestError(field=request.kind, problem=f"is not JSON: {error}") from None
    # pydantic writes NaN and infinity as null: without the check, a parameter would vanish.
    strange = find_non_finite(getattr(request, "completion_params", {}), "completion_params")
    if strange:
        raise InvalidRequestError(field=strange, problem="must be a finite number")
    return payload.encode()


_FINITE: Final = frozenset({str, int, bool, type(None)})


def find_non_finite(value: object, path: str) -> str | None:
    """Return the path of the first NaN or infinity in a JSON value; JSON has neither."""
    match value:
        case float():
            return None if math.isfinite(value) else path
        case dict():
            steps = [(f".{key}", item) for key, item in cast(dict[str, object], value).items()]
        case list():
            steps = [(f"[{i}]", item) for i, item in enumerate(cast(list[object], value))]
        case _:
            return None
    for step, item in steps:
        if type(item) not in _FINITE and (found := find_non_finite(item, path + step)):
            return found
    return None


def encode(envelope: Envelope, payload: bytes, file: bytes | None = None) -> EncodedRequest:
    """Encode one invocation of a `payload` from `encode_request`.

    A request over `INLINE_LIMIT` bytes, and a file always, is cut into parts of `PART_SIZE` bytes.
    """
    # No `model_dump` is needed: all values are JSON already, and None is the default.
    fields: dict[str, Any] = {
        name: value for name, value in vars(envelope).items() if value is not None
    }
    body: tuple[bytes, ...] = ()
    if len(payload) <= INLINE_LIMIT:
        fields["request"] = orjson.Fragment(payload)
    else:
        body = _cut(payload)
        fields["body"] = {"parts": len(body), "size": len(payload)}
    file_parts = _cut(file) if file else ()
    if file:
        fields["file"] = {"parts": len(file_parts), "size": len(file)}
    data = orjson.dumps([ENTRY_POINT, None, [fields], {}])
    if len(data) >= _COMPRESSED_FROM:
        data = zlib.compress(data, _COMPRESSION_LEVEL)
    return EncodedRequest(data, body, file_parts)


def parts_beside(payload: bytes, file: bytes | None) -> tuple[int, int]:
    """Return the part counts of a request (0: inside the job) and a file, as cut by `encode`."""
    body = 0 if len(payload) <= INLINE_LIMIT else -(-len(payload) // PART_SIZE)
    return body, -(-len(file or b"") // PART_SIZE)


def _cut(payload: bytes) -> tuple[bytes, ...]:
    return tuple(payload[i : i + PART_SIZE] for i in range(0, len(payload), PART_SIZE))


def decode_job(data: bytes) -> Envelope:
    """Decode a job's data field into an envelope.

    Raise ProtocolError for a foreign or malformed job, UnknownVersionError for a job of another
    protocol version.
    """
    call = _load(_decompress(data))
    match call:
        case [str() as function, *_] if function != ENTRY_POINT:
            raise _malformed(f"names {function[:200]!r}; only {ENTRY_POINT!r} may run here")
        case [_, None, [dict()], dict()] if not call[3]:
            return decode_envelope(call[2][0])
        case _:
            raise _malformed("is not [function, null, [envelope], {}]")


def decode_envelope(fields: dict[str, Any]) -> Envelope:
    """Validate the JSON object of an envelope.

    Raise UnknownVersionError for another protocol version, ProtocolError for a wrong shape.
    """
    # Version first: a newer envelope has unknown fields, and would look like a broken one.
    version = fields.get("v")
    if version != PROTOCOL_VERSION:
        # An error's field of None prints as "?", and here the missing version is the finding.
        found = "None" if version is None else version
        raise UnknownVersionError(where="envelope", version=found, supported=PROTOCOL_VERSION)
    try:
        return Envelope.model_validate(fields)
    except ValidationError as error:
        raise _malformed(first_problem(error)[1]) from None


@cache
def request_adapter() -> TypeAdapter[CallRequest]:
    """Return the validator of the requests of all kinds, discriminated by `kind`.

    Built on first use: only workers decode requests. Raise InvalidConfigurationError if a kind of
    an installed package cannot be loaded.
    """
    # One union of all kinds finds the kind and validates the rest in a single pass over the JSON.
    requests: list[Any] = [kind.request for kind in call_kinds().values()]
    union: Any = reduce(lambda union, request: union | request, requests)
    # A type checker cannot know a union built at run time.
    tagged: Any = Annotated[union, Field(discriminator="kind")]  # pyright: ignore[reportInvalidTypeForm]
    return TypeAdapter(tagged)


def decode_request(payload: bytes | dict[str, Any]) -> CallRequest:
    """Decode a request, from inside an envelope (a dict) or from the parts of a body (bytes).

    Raise InvalidRequestError with the name of the first wrong field.
    """
    try:
        if isinstance(payload, bytes):
            return request_adapter().validate_json(payload)
        return request_adapter().validate_python(payload)
    except ValidationError as error:
        field, problem = first_problem(error)
        raise InvalidRequestError(field=field, problem=problem) from None


def join_body(ref: BodyRef, parts: list[bytes | None]) -> bytes:
    """Join the parts of a body or a file.

    Raise ProtocolError for a missing part, or for a size other than `ref.size` bytes.
    """
    present = [part for part in parts if part is not None]
    if len(present) != ref.parts:
        raise ProtocolError(
            where="request body",
            problem=f"{ref.parts - len(present)} of {ref.parts} parts are gone",
        )
    payload = b"".join(present)
    if len(payload) != ref.size:
        raise ProtocolError(
            where="request body", problem=f"has {len(payload)} bytes, the envelope says {ref.size}"
        )
    return payload


def first_problem(error: ValidationError) -> tuple[str, str]:
    """Return path and message of the first problem that pydantic found."""
    details = error.errors(include_url=False, include_context=False, include_input=False)[0]
    path = ".".join(str(step) for step in details["loc"]) or "request"
    return path, f"{path}: {details['msg']}" if path == "request" else details["msg"]


def _decompress(data: bytes) -> bytes:
    """Decompress a job's data as RQ does, but at most to MAX_JOB_BYTES bytes."""
    if data[:1] == b"[" and len(data) <= MAX_JOB_BYTES:
        return data  # zlib's output never begins with a bracket
    # A small job may be a decompression bomb: `max_length` stops before memory fills up.
    inflater = zlib.decompressobj()
    try:
        plain = inflater.decompress(data, MAX_JOB_BYTES)
        over = bool(inflater.unconsumed_tail)
    except zlib.error:
        plain = data  # RQ, too, takes data without compression for plain
        over = len(data) > MAX_JOB_BYTES
    if over:
        raise _malformed(f"is over {MAX_JOB_BYTES} bytes")
    return plain


def _load(plain: bytes) -> Any:
    # RQ's default serializer: unpickling would run any code that a client puts into a job.
    if plain[:1] == b"\x80":
        raise _malformed("is a pickle; pickles are never read")
    try:
        return orjson.loads(plain)
    except orjson.JSONDecodeError as error:
        raise _malformed(f"is not JSON ({error})") from None


def _malformed(problem: str) -> ProtocolError:
    return ProtocolError(where="job", problem=problem)
