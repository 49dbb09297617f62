"""Runs a gateway until SIGTERM or Ctrl-C and drains running calls."""

import asyncio
import contextlib
import math
import signal
import socket
from collections.abc import Generator
from typing import Final

import uvicorn

from invokeq.gateway.app import build_app
from invokeq.gateway.logs import configure_logging, log
from invokeq.gateway.settings import GatewaySettings
from invokeq.protocol.errors import InvalidConfigurationError

KEEP_ALIVE: Final = 130
"""Seconds that an idle connection stays open. Dify's daemon keeps connections for 120 s. The
daemon must close first, or a request could arrive on a connection in the middle of closing."""

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


def run_gateway(settings: GatewaySettings) -> int:
    """Serve until SIGTERM or Ctrl-C and return the exit status; a second signal ends at once."""
    configure_logging(settings.log_format)
    return asyncio.run(_run(settings))


async def _run(settings: GatewaySettings) -> int:
    # Before uvicorn starts, so that a taken port is a configuration error of one line.
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
    log.info("gateway stopped")
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
    """Uvicorn's server with the gateway's own signal handling and log events."""

    def __init__(self, config: uvicorn.Config, listening: socket.socket) -> None:
        super().__init__(config)
        self._listening = listening

    def stop(self) -> None:
        """Shut down: on the first call after running requests, on the second call at once."""
        self.force_exit = self.should_exit
        if not self.should_exit:
            log.info("gateway stopping", running=len(self.server_state.tasks))
        self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Install no signal handlers: uvicorn would end the process by the captured signal."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            host, port, *_ = self._listening.getsockname()
            shown = f"[{host}]" if ":" in host else host
            log.info("gateway ready", address=f"http://{shown}:{port}")
