"""`/inner/api/...`: what Dify's plugin daemon asks its platform for, so that invokeq can be it.

Whatever happens, the answer is an object `{"data": ..., "error": "..."}`, in frames where the
daemon reads a stream: it shows that error to the plugin, and loses anything else.
"""

import hmac
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

import orjson
from starlette.requests import Request

from invokeq.async_session import AsyncSession
from invokeq.dify.reverse import error_text
from invokeq.dify.reverse_kinds import find_kind_name, is_streamed
from invokeq.gateway.bodies import read_object
from invokeq.gateway.calls import SHUTDOWN, GatewayCall
from invokeq.gateway.frames import frame
from invokeq.gateway.logs import log_refused
from invokeq.gateway.settings import GatewaySettings
from invokeq.gateway.streamed_response import StreamedResponse
from invokeq.protocol.errors import (
    InvalidRequestError,
    InvokeqError,
    PermissionDeniedError,
    ProtocolError,
)

PREFIX: Final = "/inner/api/"

KEY_HEADER: Final = "X-Inner-Api-Key"

_NO_BOUND: Final = 0
"""What the daemon makes of a null `top_n` or `score_threshold`."""

Framing = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class InnerApiEndpoint:
    """The endpoint of all paths. The daemon has checked permissions; it names tenant and user, but
    no plugin, so its calls are those of the gateway's own."""

    gateway: AsyncSession
    settings: GatewaySettings

    async def __call__(self, request: Request) -> StreamedResponse:
        """Answer one call of the daemon."""
        try:
            kind = self._admit(request)
        except InvokeqError as error:  # 404 as in Dify, where it is the status for a wrong key
            return _refuse(error, bytes, 404)
        framing: Framing = frame if is_streamed(kind) else bytes
        try:
            payload = await read_object(request, self.settings.max_body_bytes)
            session = self._session(payload)
        except InvokeqError as error:
            return _refuse(error, framing)
        call = GatewayCall("inner", session, kind, _with_nulls(kind, payload))
        return _respond(_told(call, framing), framing)

    def _admit(self, request: Request) -> str:
        """Give the kind of call, for those who have the key."""
        key, given = self.settings.inner_key, request.headers.get(KEY_HEADER, "")
        if not key or not hmac.compare_digest(given.encode(), key.encode()):
            raise PermissionDeniedError(problem=f"{KEY_HEADER} is not the key of this gateway")
        path: str = request.path_params["path"]
        kind = find_kind_name(path)
        if kind is None:
            problem = f"there is no {PREFIX}{path[:100]} here"
            raise InvalidRequestError(field="path", problem=problem)
        return kind

    def _session(self, payload: Mapping[str, Any]) -> AsyncSession:
        tenant, user = payload.get("tenant_id"), payload.get("user_id")
        if not isinstance(tenant, str) or not tenant:
            raise InvalidRequestError(field="tenant_id", problem="must be a text, not empty")
        if not isinstance(user, str | None):
            raise InvalidRequestError(field="user_id", problem="must be a text")
        return self.gateway.on_behalf_of(self.settings.plugin_id, tenant, user or None)


def _with_nulls(kind: str, payload: dict[str, Any]) -> dict[str, Any]:
    """Undo what the daemon makes of bounds that a plugin left out.

    A `top_n` of 0 asks for nothing, so it was null. A `score_threshold` of 0 means something to a
    model with negative scores, so it counts unless the plugin sent no bounds, or did not need to.
    """
    if kind not in ("rerank", "multimodal_rerank"):
        return payload
    unbounded = payload.get("top_n") == _NO_BOUND
    nulls: dict[str, Any] = {"top_n": None} if unbounded else {}
    optional = unbounded or kind == "multimodal_rerank"
    if optional and payload.get("score_threshold") == _NO_BOUND:
        nulls["score_threshold"] = None
    return {**payload, **nulls}


async def _told(call: GatewayCall, framing: Framing) -> AsyncGenerator[bytes, None]:
    async with aclosing(call.outcomes()) as outcomes:
        async for outcome in outcomes:
            if isinstance(outcome, InvokeqError):
                yield framing(_wrong(outcome))
                return
            try:
                yield framing(orjson.dumps({"data": outcome, "error": ""}))
            except ProtocolError as error:
                yield framing(_wrong(error))
                return


def _refuse(error: InvokeqError, framing: Framing, status: int = 200) -> StreamedResponse:
    log_refused("inner", error)

    async def pieces() -> AsyncGenerator[bytes, None]:
        yield framing(_wrong(error))

    return _respond(pieces(), framing, status)


def _wrong(error: InvokeqError) -> bytes:
    return orjson.dumps({"data": None, "error": error_text(error)})


def _respond(
    pieces: AsyncGenerator[bytes, None], framing: Framing, status: int = 200
) -> StreamedResponse:
    media_type = "application/json" if framing is bytes else "application/octet-stream"
    return StreamedResponse(pieces, media_type, framing(_wrong(SHUTDOWN)), status=status)
