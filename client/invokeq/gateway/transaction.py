"""The endpoint `POST /backwards-invocation/transaction` of Dify's install method serverless.

A request carries one invocation. The response is one JSON object a line: `response` events, at most
one `error`, and `end`. The SDK reads the lines with any status, so errors are lines too.
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
from invokeq.gateway.bodies import parse_object, read_body
from invokeq.gateway.calls import SHUTDOWN, GatewayCall
from invokeq.gateway.logs import log_refused
from invokeq.gateway.sessions import GatewaySession, SessionStore
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
    """Answers reverse invocations of plugin processes with an open session."""

    gateway: AsyncSession
    store: SessionStore
    settings: GatewaySettings

    async def __call__(self, request: Request) -> StreamedResponse:
        """Answer one invocation; the session is looked up before the body is read."""
        session_id = request.headers.get(SESSION_HEADER, "")
        lines = _Lines(session_id)
        # Before the body: without a session nobody can make the gateway buffer 64 MiB.
        try:
            sender = await self._find_sender(session_id)
        except InvokeqError as error:
            return self._refuse(lines, error)
        try:
            body = await read_body(request, self.settings.max_body_bytes)
            asked = _Envelope.parse(body, session_id)
        except InvokeqError as error:
            return self._refuse(lines, error)
        lines.request_id = asked.request_id
        call = GatewayCall("transaction", self.gateway, sender, asked.kind, asked.payload)
        return self._respond(lines, lines.of_call(call))

    async def _find_sender(self, session_id: str) -> GatewaySession:
        if not session_id:
            raise UnknownSessionError(problem=f"the header {SESSION_HEADER} is missing")
        return await self.store.find(session_id)

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
    """The call inside the SDK's envelope."""

    kind: str
    request_id: str
    payload: dict[str, Any]

    @classmethod
    def parse(cls, body: bytes, session_id: str) -> "_Envelope":
        """Parse an envelope; InvalidRequestError names a wrong field."""
        envelope = parse_object(body)
        if envelope.get("session_id") != session_id:
            problem = f"is not the session of the header {SESSION_HEADER}"
            raise InvalidRequestError(field="session_id", problem=problem)
        message = _object_in(envelope, "data")
        if message.get("type") != "invoke":
            raise InvalidRequestError(field="data.type", problem="must be invoke")
        invoke = _object_in(message, "data", "data.")
        for field in ("type", "backwards_request_id"):
            if not isinstance(invoke.get(field), str):
                raise InvalidRequestError(field=f"data.data.{field}", problem="must be a text")
        payload = _object_in(invoke, "request", "data.data.")
        return cls(invoke["type"], invoke["backwards_request_id"], payload)


def _object_in(value: dict[str, Any], field: str, path: str = "") -> dict[str, Any]:
    inner: Any = value.get(field)
    if not isinstance(inner, dict):
        raise InvalidRequestError(field=f"{path}{field}", problem="must be an object")
    return cast(dict[str, Any], inner)


@dataclass(slots=True)
class _Lines:
    """Writes the events of one response; `request_id` is the SDK's id of the call."""

    session_id: str
    request_id: str = ""

    async def of_call(self, call: GatewayCall) -> AsyncGenerator[bytes, None]:
        """Yield the lines of an invocation."""
        message = "stream" if is_streamed(call.kind) else "struct"
        async with aclosing(call.outcomes()) as outcomes:
            async for outcome in outcomes:
                if isinstance(outcome, InvokeqError):
                    yield self._error(outcome)
                else:
                    yield self._line("response", message, outcome)
        yield self._line("end")

    def farewell(self) -> bytes:
        """Return the last lines of a response on shutdown."""
        return self._error(SHUTDOWN) + self._line("end")

    async def of_error(self, error: InvokeqError) -> AsyncGenerator[bytes, None]:
        """Yield the lines of a refused request."""
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
