"""The endpoint `/inner/api/...`: calls of Dify's plugin daemon to the platform.

Every response is an object `{"data": ..., "error": "..."}`, framed where the daemon reads a stream.
The daemon shows `error` to the plugin and loses every other form of failure.
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
from invokeq.gateway.sessions import GatewaySession
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
"""The value into which the daemon turns a null `top_n` or `score_threshold`."""

Framing = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class InnerApiEndpoint:
    """The endpoint of all paths below `/inner/api/`.

    The daemon has checked permissions. A request of the daemon names tenant and user but no plugin,
    so all calls are made under the gateway's own plugin id.
    """

    gateway: AsyncSession
    settings: GatewaySettings

    async def __call__(self, request: Request) -> StreamedResponse:
        """Answer one call of the daemon."""
        try:
            kind = self._admit(request)
        except InvokeqError as error:  # 404 as in Dify, the status for a wrong key there
            return _refuse(error, bytes, 404)
        framing: Framing = frame if is_streamed(kind) else bytes
        try:
            payload = await read_object(request, self.settings.max_body_bytes)
            sender = self._read_sender(payload)
        except InvokeqError as error:
            return _refuse(error, framing)
        call = GatewayCall("inner", self.gateway, sender, kind, _restore_nulls(kind, payload))
        return _respond(_framed_outcomes(call, framing), framing)

    def _admit(self, request: Request) -> str:
        """Return the kind of call behind the path, for requests with the inner key."""
        key, given = self.settings.inner_key, request.headers.get(KEY_HEADER, "")
        if not key or not hmac.compare_digest(given.encode(), key.encode()):
            raise PermissionDeniedError(problem=f"{KEY_HEADER} is not the key of this gateway")
        path: str = request.path_params["path"]
        kind = find_kind_name(path)
        if kind is None:
            problem = f"there is no {PREFIX}{path[:100]} here"
            raise InvalidRequestError(field="path", problem=problem)
        return kind

    def _read_sender(self, payload: Mapping[str, Any]) -> GatewaySession:
        tenant, user = payload.get("tenant_id"), payload.get("user_id")
        if not isinstance(tenant, str) or not tenant:
            raise InvalidRequestError(field="tenant_id", problem="must be a text, not empty")
        if not isinstance(user, str | None):
            raise InvalidRequestError(field="user_id", problem="must be a text")
        return GatewaySession(
            plugin_id=self.settings.plugin_id, tenant_id=tenant, user_id=user or None
        )


def _restore_nulls(kind: str, payload: dict[str, Any]) -> dict[str, Any]:
    """Return the payload with null for bounds left out by the plugin.

    The daemon turns null into 0. A `top_n` of 0 asks for no documents, so the plugin sent null. A
    `score_threshold` of 0 is a real bound for models with negative scores, and stays unless the
    plugin sent no `top_n` either, or the kind has no required bounds.
    """
    if kind not in ("rerank", "multimodal_rerank"):
        return payload
    unbounded = payload.get("top_n") == _NO_BOUND
    nulls: dict[str, Any] = {"top_n": None} if unbounded else {}
    optional = unbounded or kind == "multimodal_rerank"
    if optional and payload.get("score_threshold") == _NO_BOUND:
        nulls["score_threshold"] = None
    return {**payload, **nulls}


async def _framed_outcomes(call: GatewayCall, framing: Framing) -> AsyncGenerator[bytes, None]:
    async with aclosing(call.outcomes()) as outcomes:
        async for outcome in outcomes:
            if isinstance(outcome, InvokeqError):
                yield framing(_dump_error(outcome))
                return
            try:
                # Framing fails for a piece over the daemon's limit, for example a huge vector list.
                yield framing(orjson.dumps({"data": outcome, "error": ""}))
            except ProtocolError as error:
                yield framing(_dump_error(error))
                return


def _refuse(error: InvokeqError, framing: Framing, status: int = 200) -> StreamedResponse:
    log_refused("inner", error)

    async def pieces() -> AsyncGenerator[bytes, None]:
        yield framing(_dump_error(error))

    return _respond(pieces(), framing, status)


def _dump_error(error: InvokeqError) -> bytes:
    return orjson.dumps({"data": None, "error": error_text(error)})


def _respond(
    pieces: AsyncGenerator[bytes, None], framing: Framing, status: int = 200
) -> StreamedResponse:
    media_type = "application/json" if framing is bytes else "application/octet-stream"
    return StreamedResponse(pieces, media_type, framing(_dump_error(SHUTDOWN)), status=status)
