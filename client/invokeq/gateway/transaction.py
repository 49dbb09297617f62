"""`POST /backwards-invocation/transaction`: what Dify's SDK calls in its install method serverless.

One invocation a request. The answer is a JSON object a line: `response` events, at most one
`error`, and `end`. The SDK looks at the lines whatever the status, so errors are lines as well.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final, cast

import orjson
from starlette.requests import Request

from invokeq.async_session import AsyncSession
from invokeq.dify.reverse import error_args, error_text
from invokeq.dify.reverse_kinds import is_streamed
from invokeq.gateway.bodies import object_of, read_body
from invokeq.gateway.calls import SHUTDOWN, GatewayCall
from invokeq.gateway.logs import log_refused
from invokeq.gateway.sessions import find_session
from invokeq.gateway.settings import GatewaySettings
from invokeq.gateway.streamed_response import StreamedResponse
from invokeq.protocol.errors import (
    InvalidRequestError,
    InvokeqError,
    UnavailableError,
    UnknownSessionError,
)

PATH: Final = "/backwards-invocation/transaction"

SESSION_HEADER: Final = "Dify-Plugin-Session-ID"

_END: Final = b"\n\n"
_MEDIA_TYPE: Final = "text/event-stream"


@dataclass(frozen=True, slots=True)
class TransactionEndpoint:
    """The endpoint."""

    gateway: AsyncSession
    settings: GatewaySettings

    async def __call__(self, request: Request) -> StreamedResponse:
        """Answer one invocation. The session is looked up before the body is read."""
        session_id = request.headers.get(SESSION_HEADER, "")
        lines = _Lines(session_id)
        try:
            session = await self._session(session_id)
        except InvokeqError as error:
            return self._refuse(lines, error)
        try:
            envelope = _Envelope.of(
                await read_body(request, self.settings.max_body_bytes), session_id
            )
        except InvokeqError as error:
            return self._refuse(lines, error)
        lines.request_id = envelope.request_id
        call = GatewayCall("transaction", session, envelope.kind, envelope.payload)
        return self._respond(lines, lines.of_call(call))

    async def _session(self, session_id: str) -> AsyncSession:
        if not session_id:
            raise UnknownSessionError(problem=f"the header {SESSION_HEADER} is missing")
        found = await self.gateway.transport.run(find_session(session_id))
        return self.gateway.on_behalf_of(found.plugin_id, found.tenant_id, found.user_id)

    def _refuse(self, lines: "_Lines", error: InvokeqError) -> StreamedResponse:
        log_refused("transaction", error)
        status = 503 if isinstance(error, UnavailableError) else 400
        return self._respond(lines, lines.of_error(error), status)

    def _respond(
        self, lines: "_Lines", pieces: AsyncGenerator[bytes, None], status: int = 200
    ) -> StreamedResponse:
        every = self.settings.heartbeat
        return StreamedResponse(pieces, _MEDIA_TYPE, lines.farewell(), _END, every, status)


@dataclass(frozen=True, slots=True)
class _Envelope:
    """What an envelope asks for."""

    kind: str
    request_id: str
    payload: dict[str, Any]

    @classmethod
    def of(cls, body: bytes, session_id: str) -> "_Envelope":
        """Read the envelope that the SDK writes; InvalidRequestError names the field."""
        envelope = object_of(body)
        if envelope.get("session_id") != session_id:
            problem = f"is not the session of the header {SESSION_HEADER}"
            raise InvalidRequestError(field="session_id", problem=problem)
        message = _inner(envelope, "data")
        if message.get("type") != "invoke":
            raise InvalidRequestError(field="data.type", problem="must be invoke")
        invoke = _inner(message, "data", "data.")
        for field in ("type", "backwards_request_id"):
            if not isinstance(invoke.get(field), str):
                raise InvalidRequestError(field=f"data.data.{field}", problem="must be a text")
        payload = _inner(invoke, "request", "data.data.")
        return cls(invoke["type"], invoke["backwards_request_id"], payload)


def _inner(value: dict[str, Any], field: str, path: str = "") -> dict[str, Any]:
    inner: Any = value.get(field)
    if not isinstance(inner, dict):
        raise InvalidRequestError(field=f"{path}{field}", problem="must be an object")
    return cast(dict[str, Any], inner)


@dataclass(slots=True)
class _Lines:
    """Writes events as the SDK reads them. `request_id` is the SDK's own, which it looks for."""

    session_id: str
    request_id: str = ""

    async def of_call(self, call: GatewayCall) -> AsyncGenerator[bytes, None]:
        """Give the lines of an invocation."""
        message = "stream" if is_streamed(call.kind) else "struct"
        async with aclosing(call.outcomes()) as outcomes:
            async for outcome in outcomes:
                if isinstance(outcome, InvokeqError):
                    yield self._error(outcome)
                else:
                    yield self._line("response", message, outcome)
        yield self._line("end")

    def farewell(self) -> bytes:
        """Give the lines for an answer that the end of the gateway cuts off."""
        return self._error(SHUTDOWN) + self._line("end")

    async def of_error(self, error: InvokeqError) -> AsyncGenerator[bytes, None]:
        """Give the lines of a request that is refused."""
        yield self._error(error)
        yield self._line("end")

    def _error(self, error: InvokeqError) -> bytes:
        return self._line("error", error_text(error), error_args(error))

    def _line(self, event: str, message: str = "", data: dict[str, Any] | None = None) -> bytes:
        inner = {
            "backwards_request_id": self.request_id,
            "event": event,
            "message": message,
            "data": data,
        }
        line = {"session_id": self.session_id, "event": "backwards_response", "data": inner}
        return orjson.dumps(line) + _END
