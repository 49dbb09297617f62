"""`/sessions`, for whoever runs plugin processes, and `/health`, for whoever runs the gateway."""

import hmac
import logging
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from invokeq.async_session import AsyncSession
from invokeq.gateway.bodies import read_object
from invokeq.gateway.logs import log_event, log_refused
from invokeq.gateway.sessions import close_session, open_session, parse_opening
from invokeq.gateway.settings import GatewaySettings
from invokeq.gateway.transaction import SESSION_HEADER
from invokeq.protocol.errors import InvokeqError, PermissionDeniedError, UnavailableError

_MAX_OPENING: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class SessionsEndpoint:
    """Opens and closes sessions for those who have the key."""

    gateway: AsyncSession
    settings: GatewaySettings

    async def open(self, request: Request) -> Response:
        """`POST /sessions`: 201 with the id of the session and the seconds it lasts."""
        if (refused := self._refused(request)) is not None:
            return refused
        try:
            opening = parse_opening(await read_object(request, _MAX_OPENING))
            ttl = opening.ttl or self.settings.session_ttl
            session_id = await self.gateway.transport.run(open_session(opening, ttl))
        except InvokeqError as error:
            return _problem(error)
        sender = {"plugin": opening.plugin_id, "tenant": opening.tenant_id, "user": opening.user_id}
        log_event(logging.INFO, "session opened", **sender, ttl=ttl)
        return JSONResponse({"session_id": session_id, "expires_in": ttl}, 201)

    async def close(self, request: Request) -> Response:
        """`DELETE /sessions` with the session's header: 204, or 404 if it was not open."""
        if (refused := self._refused(request)) is not None:
            return refused
        session_id = request.headers.get(SESSION_HEADER, "")
        try:
            closed = await self.gateway.transport.run(close_session(session_id))
        except InvokeqError as error:
            return _problem(error)
        if closed:
            log_event(logging.INFO, "session closed")
        return Response(status_code=204 if closed else 404)

    def _refused(self, request: Request) -> Response | None:
        key = self.settings.key
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        same = key and hmac.compare_digest(given.strip().encode(), key.encode())
        if same and scheme.lower() == "bearer":
            return None
        error = PermissionDeniedError(
            problem="Authorization must be: Bearer, and the gateway's key"
        )
        log_refused("sessions", error)
        return _problem(error, 401)


@dataclass(frozen=True, slots=True)
class HealthEndpoint:
    """Tells whether calls can be served."""

    gateway: AsyncSession

    async def __call__(self, request: Request) -> Response:
        """`GET /health`: 200 with the number of live workers, 503 if Redis is away or there are
        none."""
        try:
            workers = len(await self.gateway.workers())
        except InvokeqError as error:
            return _problem(error, 503)
        status = "ok" if workers else "no worker"
        return JSONResponse({"status": status, "workers": workers}, 200 if workers else 503)


def _problem(error: InvokeqError, status: int | None = None) -> Response:
    found = status or (503 if isinstance(error, UnavailableError) else 400)
    return JSONResponse({"error": {"code": error.code, "message": str(error)}}, found)
