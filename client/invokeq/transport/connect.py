"""Make pools from a URL: for one server, for a Sentinel's master, or for a cluster.

No function opens a connection. Every function raises InvalidConfigurationError for an unusable URL.
"""

from typing import Any, Final, cast

import redis
from redis import ConnectionPool
from redis import connection as blocking_connection
from redis.asyncio import ConnectionPool as AsyncConnectionPool
from redis.asyncio import connection as async_connection
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from invokeq.protocol.redis.address import Address, parse_address
from invokeq.transport.cluster_connection import (
    AtRQ,
    AtRQOverTLS,
    ClusterPool,
    open_cluster_connection,
)
from invokeq.transport.connection import RedisConnection
from invokeq.transport.sentinel import make_async_master_pool, make_master_pool
from invokeq.transport.settings import Timeouts, connection_options, unusable_url

_UNKNOWN_OPTION: Final = "has an option after the ? that redis-py does not take"


def make_pool(url: str, timeouts: Timeouts) -> ConnectionPool:
    """Return a pool of blocking connections; of a cluster, to the node of RQ's slot."""
    address = parse_address(url)
    options = _options(blocking_connection, address, timeouts, Retry(NoBackoff(), 0))
    try:
        pool = _blocking_pool(address, options)
        pool.make_connection()  # opens none, but refuses options that it does not know
    except TypeError:
        raise unusable_url(_UNKNOWN_OPTION) from None
    return pool


def make_async_pool(url: str, timeouts: Timeouts) -> AsyncConnectionPool:
    """Return a pool of asyncio connections; of a cluster, to the node of RQ's slot."""
    address = parse_address(url)
    options = _options(async_connection, address, timeouts, AsyncRetry(NoBackoff(), 0))
    try:
        if address.kind == "cluster":
            pool = ClusterPool(address, options)
        elif address.kind == "sentinel":
            pool = make_async_master_pool(address, options)
        else:
            pool = AsyncConnectionPool(**options)
        pool.make_connection()  # opens none, but refuses options that it does not know
    except TypeError:
        raise unusable_url(_UNKNOWN_OPTION) from None
    return pool


def open_connection(pool: AsyncConnectionPool) -> RedisConnection:
    """Return a connection by a pool of `make_async_pool`; of a cluster, to all nodes."""
    return open_cluster_connection(pool)


def make_client(url: str, timeout: float) -> redis.Redis:
    """Return a blocking redis-py client with a timeout of `timeout` seconds and without retries."""
    return redis.Redis.from_pool(make_pool(url, Timeouts(timeout, timeout)))


def _blocking_pool(address: Address, options: dict[str, Any]) -> ConnectionPool:
    if address.kind == "sentinel":
        return make_master_pool(address, options)
    if address.kind == "cluster":
        over_tls = options.get("connection_class") is not None
        kind = AtRQOverTLS if over_tls else AtRQ
        # An option of pools, which a connection refuses.
        of_node = {name: value for name, value in options.items() if name != "max_connections"}
        own: dict[str, Any] = {
            "connection_class": kind,
            "address": address,
            "node_options": of_node,
        }
        return ConnectionPool(**{**options, **own})
    return ConnectionPool(**options)


def _options(module: Any, address: Address, timeouts: Timeouts, retry: object) -> dict[str, Any]:
    """Return the options of connections; `module` is redis-py's of blocking ones or asyncio's."""
    url = address.url_of(address.nodes[0]) if address.nodes else address.url
    try:
        of_url = cast(dict[str, Any], module.parse_url(url))  # which has no types
    except ValueError as error:
        raise unusable_url(str(error)) from None
    return connection_options(of_url, timeouts, retry)
