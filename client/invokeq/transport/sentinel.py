"""Connections to the master that Sentinels name; it is looked up anew whenever one connects."""

from typing import Any, Final, cast

import redis.asyncio.sentinel
import redis.sentinel
from redis import ConnectionPool
from redis import connection as redis_connection
from redis.asyncio import ConnectionPool as AsyncConnectionPool
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from invokeq.protocol.redis.address import Address, Node, parse_address

SENTINEL_TIMEOUT: Final = 2.0
"""Seconds for one Sentinel to say who is master."""

_ASKING: Final = {
    "protocol": 2,
    "driver_info": None,
    "socket_connect_timeout": SENTINEL_TIMEOUT,
    "socket_timeout": SENTINEL_TIMEOUT,
}


class _MasterPool(redis.sentinel.SentinelConnectionPool):
    def get_master_address(self) -> Node:
        try:
            return cast(Node, super().get_master_address())
        finally:
            for client in cast(list[Any], self.sentinel_manager.sentinels):
                client.connection_pool.disconnect(inuse_connections=False)


class _AsyncMasterPool(redis.asyncio.sentinel.SentinelConnectionPool):
    async def get_master_address(self) -> Node:
        try:
            return cast(Node, await super().get_master_address())
        finally:  # the next failover is far away
            for client in cast(list[Any], self.sentinel_manager.sentinels):
                await client.connection_pool.disconnect(inuse_connections=False)


def make_pool(url: str, settings: dict[str, Any]) -> ConnectionPool:
    """Hold the settings of a server's or a master's connections; opens none, tries once."""
    address, options = parse_address(url), {**settings, "retry": Retry(NoBackoff(), 0)}
    if address.kind != "sentinel":
        return ConnectionPool.from_url(url, **options)
    asking = {**_ASKING, **address.asking.options, "retry": options["retry"]}
    sentinel = redis.sentinel.Sentinel(address.nodes, sentinel_kwargs=asking)
    return _MasterPool(address.service, sentinel, **{**_options(address), **options})


def make_async_pool(url: str, settings: dict[str, Any]) -> AsyncConnectionPool:
    """As `make_pool`, for asyncio."""
    address, options = parse_address(url), {**settings, "retry": AsyncRetry(NoBackoff(), 0)}
    if address.kind != "sentinel":
        return AsyncConnectionPool.from_url(url, **options)
    asking = {**_ASKING, **address.asking.options, "retry": options["retry"]}
    sentinel = redis.asyncio.sentinel.Sentinel(address.nodes, sentinel_kwargs=asking)
    return _AsyncMasterPool(address.service, sentinel, **{**_options(address), **options})


def _options(address: Address) -> dict[str, Any]:
    """Give what the URL says of the data servers' connections."""
    parse = cast(Any, redis_connection).parse_url  # which has no types
    options: dict[str, Any] = parse(address.url_of(address.nodes[0]))
    over_tls = options.pop("connection_class", None) is not None
    del options["host"], options["port"]
    return {**options, "ssl": over_tls}
