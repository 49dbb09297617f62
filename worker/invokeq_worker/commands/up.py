"""Run a Valkey server and all pools in one foreground process tree, for development.

Ctrl-C, SIGTERM and kill -9 end the whole tree. The data of the embedded server is lost then.
"""

import asyncio
import contextlib
import os
import signal
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import typer
from redis import Redis

from invokeq.protocol.errors import BrokerUnavailableError, InvokeqError
from invokeq_worker.config.redis_settings import RedisSettings
from invokeq_worker.config.settings import Settings
from invokeq_worker.process.embedded_server import EmbeddedValkey
from invokeq_worker.process.supervisor import Child, Supervisor, grace_of, pool_children
from invokeq_worker.redis.server_check import check_server, live_workers, open_client

WATCH_INTERVAL: Final = 0.2
"""Seconds between checks of the embedded server, and of the workers until all are ready."""


def up(settings: Settings, config: Path | None, port: int = 0) -> int:
    """Run all pools, and a server unless the settings name one; return the exit code.

    `port` is for the embedded server on 127.0.0.1; 0 takes a free one. Raises WorkerStartError,
    BrokerUnavailableError when the embedded server ends, and errors of the start.
    """
    with ExitStack() as stack:
        redis, server = settings.redis, None
        if not settings.names_redis:
            server = stack.enter_context(EmbeddedValkey.start(port=port))
            redis = RedisSettings.model_validate({**dict(redis), "url": server.url})
        client = stack.enter_context(open_client(redis))
        check_server(client, redis.address)
        if server is None:
            typer.echo(f"Redis is {redis.address}")
        else:
            typer.echo(f"export INVOKEQ_REDIS_URL={redis.url_text}")
        children = _children(settings, config)
        env = {**os.environ, "INVOKEQ_REDIS_URL": redis.url_text}
        supervisor = Supervisor(children, grace_of(settings), env=env)
        return asyncio.run(_run(supervisor, server, client, redis.address))


def _children(settings: Settings, config: Path | None) -> list[Child]:
    # SIGKILL, because the server dies with this process, and without it no worker can finish a run.
    return [
        child
        for name, pool in settings.pools.items()
        for child in pool_children(
            settings, name, pool.processes, config, death_signal=signal.SIGKILL
        )
    ]


async def _run(
    supervisor: Supervisor, server: EmbeddedValkey | None, client: Redis, address: str
) -> int:
    status, failure = 0, None
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_announce(supervisor, client, address))]
        if server is not None:
            tasks.append(group.create_task(_watch(supervisor, server)))
        try:
            status = await supervisor.run()
        except InvokeqError as error:
            failure = error  # raised outside of the group, which would wrap the error
        finally:
            for task in tasks:
                task.cancel()
    if failure is not None:
        raise failure
    return status


async def _announce(supervisor: Supervisor, client: Redis, address: str) -> None:
    """Print a line once all worker processes of the tree are in the directory."""
    host, wanted, ready = socket.gethostname(), supervisor.size, 0
    while ready < wanted:
        await asyncio.sleep(WATCH_INTERVAL)
        # While the server is unavailable, workers log the fact and wait for its return.
        with contextlib.suppress(BrokerUnavailableError):
            entries = await asyncio.to_thread(live_workers, client, address)
            here = {entry["pid"] for entry in entries if entry["host"] == host}
            ready = len(here & supervisor.pids)
    typer.echo(f"ready: {wanted} worker process{'es' if wanted > 1 else ''}; Ctrl-C to end")


async def _watch(supervisor: Supervisor, server: EmbeddedValkey) -> None:
    """End all processes when the server has ended."""
    while True:
        if not server.running:
            break
        await asyncio.sleep(WATCH_INTERVAL)
    detail = f"the embedded server ended: {server.log_tail()}"
    supervisor.fail(BrokerUnavailableError(address=server.url, detail=detail))
