"""The ASGI application of a gateway."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from invokeq.async_session import AsyncSession
from invokeq.gateway.admin import HealthEndpoint, SessionsEndpoint
from invokeq.gateway.inner_api import PREFIX, InnerApiEndpoint
from invokeq.gateway.sessions import SessionStore
from invokeq.gateway.settings import GatewaySettings
from invokeq.gateway.streamed_response import StreamedResponse
from invokeq.gateway.transaction import PATH, TransactionEndpoint
from invokeq.session_base import parts_of

CLEAN_UP: Final = 5.0
"""Seconds for calls cancelled on shutdown to send the cancel to Redis."""

Endpoint = Callable[[Request], Awaitable[StreamedResponse | Response]]


def build_app(settings: GatewaySettings) -> Starlette:
    """Return the application; the end of the lifespan closes the connections to Redis."""
    gateway = AsyncSession(
        settings.plugin_id, redis=settings.redis, max_request_bytes=settings.max_body_bytes
    )
    store = SessionStore(parts_of(gateway).transport)
    sessions = SessionsEndpoint(store, settings)
    running: set[asyncio.Task[Any]] = set()

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            # Uvicorn has cancelled the tasks; each still sends its cancel over `gateway`.
            if running:
                await asyncio.wait(running, timeout=CLEAN_UP)
            await gateway.close()

    return Starlette(
        routes=[
            _route(PATH, TransactionEndpoint(gateway, store, settings), "POST"),
            _route(f"{PREFIX}{{path:path}}", InnerApiEndpoint(gateway, settings), "POST"),
            _route("/sessions", sessions.open, "POST"),
            _route("/sessions", sessions.close, "DELETE"),
            _route("/health", HealthEndpoint(gateway), "GET"),
        ],
        middleware=[Middleware(_RunningTasks, running)],
        lifespan=lifespan,
    )


class _RunningTasks:
    """Registers every task of a request, so that shutdown can wait for all tasks."""

    def __init__(self, app: ASGIApp, running: "set[asyncio.Task[Any]]") -> None:
        self._app = app
        self._running = running

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        task = asyncio.current_task()
        if scope["type"] != "http" or task is None:
            await self._app(scope, receive, send)
            return
        self._running.add(task)
        try:
            await self._app(scope, receive, send)
        finally:
            self._running.discard(task)


def _route(path: str, endpoint: Endpoint, method: str) -> Route:
    async def respond(request: Request) -> StreamedResponse | Response:
        try:
            return await endpoint(request)
        except ClientDisconnect:  # while the client was sending; the response reaches no reader
            return Response(status_code=400)

    return Route(path, respond, methods=[method])
