"""What makes a worker's connections: to one server, to a Sentinel's master, or to a cluster.

To a cluster the pools here make connections to the node that has RQ's slot, whichever that is when
they connect; `open_connection` gives what reaches all nodes.
"""

from typing import Any, Final, cast

import redis.asyncio.sentinel
import redis.sentinel
from redis import Connection, ConnectionPool, Redis, SSLConnection
from redis import asyncio as aredis
from redis import connection as redis_connection
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.retry import Retry

from invokeq.protocol.redis.address import RQ_SLOT, Address, Node, SlotMap, parse_address
from invokeq_worker.redis.cluster import Cluster, ClusterConnection
from invokeq_worker.redis.connection import RedisConnection, RedisConnectionLostError

SENTINEL_TIMEOUT: Final = 2.0
"""Seconds for one Sentinel to say who is master."""


class _AsyncAtRQ(aredis.Connection):
    def __init__(self, *, cluster: Cluster, **settings: Any) -> None:
        super().__init__(**settings)
        self._cluster = cluster

    async def _connect(self) -> None:
        try:
            self.host, self.port = await self._cluster.rq_node()
        except RedisConnectionLostError as error:
            raise RedisConnectionError(str(error)) from None
        await super()._connect()


class _AsyncAtRQOverTLS(_AsyncAtRQ, aredis.SSLConnection):
    pass


class _AtRQ(Connection):
    def __init__(self, *, address: Address, **settings: Any) -> None:
        super().__init__(**settings)
        self._where = address

    def _connect(self) -> Any:
        self.host, self.port = _rq_node(self._where, self.socket_connect_timeout)
        return super()._connect()


class _AtRQOverTLS(_AtRQ, SSLConnection):
    pass


class _ClusterPool(aredis.ConnectionPool):
    def __init__(self, cluster: Cluster, **settings: Any) -> None:
        super().__init__(cluster=cluster, **settings)
        self.cluster = cluster


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


def make_pool(url: str, connect_timeout: float) -> aredis.ConnectionPool:
    """Hold the settings of `url` for Links; opens no connection.

    `connect_timeout` is in seconds and includes TLS.
    """
    address = parse_address(url)
    settings: dict[str, Any] = {
        "protocol": 2,
        "decode_responses": False,
        "socket_timeout": None,
        "socket_connect_timeout": connect_timeout,
        "socket_keepalive": True,
        "retry": AsyncRetry(NoBackoff(), 0),
        "driver_info": None,
    }
    if address.kind == "server":
        return aredis.ConnectionPool.from_url(url, **settings)
    options, over_tls = _options(address)
    if address.kind == "cluster":
        kind = _AsyncAtRQOverTLS if over_tls else _AsyncAtRQ
        cluster = Cluster(address, settings)
        return _ClusterPool(cluster, **{**options, **settings, "connection_class": kind})
    del options["host"], options["port"]
    asking = {**_sentinel_settings(address), "retry": AsyncRetry(NoBackoff(), 0)}
    sentinel = redis.asyncio.sentinel.Sentinel(address.nodes, sentinel_kwargs=asking)
    return _AsyncMasterPool(address.service, sentinel, ssl=over_tls, **{**options, **settings})


def open_connection(pool: aredis.ConnectionPool) -> RedisConnection:
    """Give a connection by a pool of `make_pool`."""
    return (
        ClusterConnection(pool, pool.cluster)
        if isinstance(pool, _ClusterPool)
        else RedisConnection(pool)
    )


def make_client(url: str, timeout: float) -> Redis:
    """Make a blocking client that gives up after `timeout` seconds instead of trying again."""
    address = parse_address(url)
    settings = _blocking_settings(timeout)
    if address.kind == "server":
        return Redis.from_url(url, **settings)
    options, over_tls = _options(address)
    if address.kind == "cluster":
        kind = _AtRQOverTLS if over_tls else _AtRQ
        pool = ConnectionPool(connection_class=kind, address=address, **{**options, **settings})
    else:
        del options["host"], options["port"]
        asking = {**_sentinel_settings(address), "retry": Retry(NoBackoff(), 0)}
        sentinel = redis.sentinel.Sentinel(address.nodes, sentinel_kwargs=asking)
        pool = _MasterPool(address.service, sentinel, ssl=over_tls, **{**options, **settings})
    return Redis.from_pool(pool)


def _options(address: Address) -> tuple[dict[str, Any], bool]:
    """Give what the URL says of the data servers' connections, and whether they are TLS."""
    parse = cast(Any, redis_connection).parse_url  # which has no types
    options: dict[str, Any] = parse(address.url_of(address.nodes[0]))
    return options, options.pop("connection_class", None) is not None


def _blocking_settings(timeout: float | None) -> dict[str, Any]:
    return {
        "protocol": 2,
        "socket_connect_timeout": timeout,
        "socket_timeout": timeout,
        "retry": Retry(NoBackoff(), 0),
        "driver_info": None,
    }


def _sentinel_settings(address: Address) -> dict[str, Any]:
    return {
        **address.asking.options,
        "protocol": 2,
        "driver_info": None,
        "socket_connect_timeout": SENTINEL_TIMEOUT,
        "socket_timeout": SENTINEL_TIMEOUT,
    }


def _rq_node(address: Address, timeout: float | None) -> Node:
    """Ask the nodes that the URL names who has RQ's slot."""
    problem: RedisError | None = None
    for node in address.nodes:
        try:
            with Redis.from_url(address.url_of(node), **_blocking_settings(timeout)) as client:
                reply = cast(Any, client).execute_command("CLUSTER", "SLOTS")
                found = SlotMap(reply, node).node_of(RQ_SLOT)
        except RedisError as error:
            problem = error
        else:
            if found is not None:
                return found
    raise RedisConnectionError(str(problem or "no node of the cluster has RQ's slot"))
