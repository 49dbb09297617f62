"""Check the Redis server before a worker uses the server, within a bounded time."""

import socket
from typing import Any, Final

import orjson
from redis import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError

from invokeq.protocol.errors import (
    BrokerUnavailableError,
    InvalidConfigurationError,
    ServerUnsupportedError,
)
from invokeq.protocol.redis import keys
from invokeq.transport.connect import make_client
from invokeq_worker.config.redis_settings import RedisSettings

REQUIRED: Final = (6, 2)
"""The oldest version with explicit stream ids and LPOP of several; Valkey reports 7.2.4 or more."""


def open_client(settings: RedisSettings) -> Redis:
    """Return a client that gives up after `connect_timeout` seconds, without a retry."""
    return make_client(settings.url_text, settings.connect_timeout)


def check_server(client: Redis, address: str) -> None:
    """Check that the server answers, accepts the login and is recent enough. One round trip.

    Raise BrokerUnavailableError, InvalidConfigurationError for refused credentials, or
    ServerUnsupportedError.
    """
    try:
        info = client.info("server")
    except (AuthenticationError, NoPermissionError) as error:
        raise InvalidConfigurationError(
            source=f"Redis at {address}",
            setting="redis.url",
            problem=f"the server refuses this user or password ({error})",
        ) from error
    except (RedisError, OSError) as error:
        raise BrokerUnavailableError(address=address, detail=str(error)) from error
    # Valkey reports a Redis version here, and the version of Valkey in `valkey_version`.
    version = str(info.get("redis_version", "0"))
    if _numbers(version) < REQUIRED:
        required = ".".join(map(str, REQUIRED))
        raise ServerUnsupportedError(address=address, version=version, required=required)


def live_workers(client: Redis, address: str) -> list[dict[str, Any]]:
    """Return the directory entries of the workers whose lease holds. One round trip.

    Raise BrokerUnavailableError.
    """
    try:
        with client.pipeline(transaction=False) as pipeline:
            pipeline.time()
            pipeline.zrange(keys.LEASES, 0, -1, withscores=True)
            pipeline.hgetall(keys.DIRECTORY)
            (seconds, microseconds), leases, directory = pipeline.execute()
    except (RedisError, OSError) as error:
        raise BrokerUnavailableError(address=address, detail=str(error)) from error
    # Leases end by the clock of the server, so the server's TIME decides, not the local clock.
    now_ms = seconds * 1000 + microseconds // 1000
    # Plain JSON, not WorkerEntry: an entry of another version is a live worker all the same.
    return [
        orjson.loads(directory[name])
        for name, until_ms in leases
        if until_ms > now_ms and name in directory
    ]


def local_workers(settings: RedisSettings, pool: str | None = None) -> list[str]:
    """Return the names of the live workers on this host, of one pool or of all."""
    with open_client(settings) as client:
        entries = live_workers(client, settings.address)
    here = [entry for entry in entries if entry["host"] == socket.gethostname()]
    return sorted(entry["name"] for entry in here if pool in {None, entry["pool"]})


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
