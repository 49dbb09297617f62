"""Runs a gateway until SIGTERM or Ctrl-C, and lets it finish what it serves."""

import asyncio
import contextlib
import logging
import math
import signal
import socket
from collections.abc import Generator
from typing import Final

import uvicorn

from invokeq.gateway.app import build_app
from invokeq.gateway.logs import configure_logging, log_event
from invokeq.gateway.settings import GatewaySettings
from invokeq.protocol.errors import InvalidConfigurationError

KEEP_ALIVE: Final = 130
"""Seconds that an idle connection stays open: longer than the 120 for which Dify's daemon keeps
one, so that it never sends a request into a connection that is being closed."""

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


def run_gateway(settings: GatewaySettings) -> int:
    """Serve until SIGTERM or Ctrl-C; a second signal ends it at once. Gives the exit status."""
    configure_logging(settings.log_format)
    return asyncio.run(_run(settings))


async def _run(settings: GatewaySettings) -> int:
    listening = _listen(settings)
    config = uvicorn.Config(
        build_app(settings),
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
        ws="none",
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=math.ceil(settings.grace),
    )
    server = _Server(config, listening)
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, server.stop)
    await server.serve(sockets=[listening])
    log_event(logging.INFO, "stopped")
    return 0 if server.started else 1


def _listen(settings: GatewaySettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=2048)
    except OSError as error:
        where = f"{settings.host}:{settings.port}"
        problem = f"cannot listen on {where}: {error.strerror or error}"
        raise InvalidConfigurationError(
            source="gateway", setting="host and port", problem=problem
        ) from None


class _Server(uvicorn.Server):
    """Uvicorn's server, with our signals and our words."""

    def __init__(self, config: uvicorn.Config, listening: socket.socket) -> None:
        super().__init__(config)
        self._listening = listening

    def stop(self) -> None:
        """End: the first time after what runs, the second time at once."""
        self.force_exit = self.should_exit
        if not self.should_exit:
            log_event(logging.INFO, "stopping", running=len(self.server_state.tasks))
        self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave the signals to us: uvicorn would end the process by the signal it has caught."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            host, port, *_ = self._listening.getsockname()
            shown = f"[{host}]" if ":" in host else host
            log_event(logging.INFO, "ready", address=f"http://{shown}:{port}")
