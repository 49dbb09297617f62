"""The endpoints of operators: `/sessions` for hosts of plugin processes, and `/health`."""

import hmac
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from invokeq.async_session import AsyncSession
from invokeq.gateway.bodies import read_object
from invokeq.gateway.logs import log, log_refused
from invokeq.gateway.sessions import SessionStore, parse_opening
from invokeq.gateway.settings import GatewaySettings
from invokeq.gateway.transaction import SESSION_HEADER
from invokeq.protocol.errors import InvokeqError, PermissionDeniedError, UnavailableError

_MAX_OPENING: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class SessionsEndpoint:
    """Opens and closes sessions for callers with the gateway's key."""

    store: SessionStore
    settings: GatewaySettings

    async def open(self, request: Request) -> Response:
        """Answer `POST /sessions` with 201, the id of the new session and the TTL in seconds."""
        if (refused := self._refuse(request)) is not None:
            return refused
        try:
            opening = parse_opening(await read_object(request, _MAX_OPENING))
            ttl = opening.ttl or self.settings.session_ttl
            session_id = await self.store.open(opening, ttl)
        except InvokeqError as error:
            return _error_response(error)
        log.info("session opened", **opening.sender().log_fields(), ttl=ttl)
        return JSONResponse({"session_id": session_id, "expires_in": ttl}, 201)

    async def close(self, request: Request) -> Response:
        """Answer `DELETE /sessions` with 204, or with 404 if the header names no open session."""
        if (refused := self._refuse(request)) is not None:
            return refused
        session_id = request.headers.get(SESSION_HEADER, "")
        try:
            closed = await self.store.close(session_id)
        except InvokeqError as error:
            return _error_response(error)
        if closed:
            log.info("session closed")
        return Response(status_code=204 if closed else 404)

    def _refuse(self, request: Request) -> Response | None:
        """Return the response to a request without the gateway's key, or None."""
        key = self.settings.key
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        # In constant time, so that response times reveal no part of the key.
        same = key and hmac.compare_digest(given.strip().encode(), key.encode())
        if same and scheme.lower() == "bearer":
            return None
        error = PermissionDeniedError(
            problem="Authorization must be: Bearer, and the gateway's key"
        )
        log_refused("sessions", error)
        return _error_response(error, 401)


@dataclass(frozen=True, slots=True)
class HealthEndpoint:
    """Reports whether calls can be served."""

    gateway: AsyncSession

    async def __call__(self, request: Request) -> Response:
        """Answer `GET /health` with 200 and the number of live workers.

        Without a live worker, or while Redis is unavailable, the status is 503.
        """
        try:
            workers = len(await self.gateway.workers())
        except InvokeqError as error:
            return _error_response(error, 503)
        status = "ok" if workers else "no worker"
        return JSONResponse({"status": status, "workers": workers}, 200 if workers else 503)


def _error_response(error: InvokeqError, status: int | None = None) -> Response:
    found = status or (503 if isinstance(error, UnavailableError) else 400)
    return JSONResponse({"error": {"code": error.code, "message": str(error)}}, found)
