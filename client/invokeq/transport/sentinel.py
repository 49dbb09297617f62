"""Pools of connections to the master named by Sentinels; every new connection asks again."""

from typing import Any, cast

import redis.asyncio.sentinel
import redis.sentinel
from redis import ConnectionPool
from redis.asyncio import ConnectionPool as AsyncConnectionPool

from invokeq.protocol.redis.address import Address, Node
from invokeq.transport.settings import SENTINEL_TIMEOUT


class _MasterPool(redis.sentinel.SentinelConnectionPool):
    def get_master_address(self) -> Node:
        try:
            return cast(Node, super().get_master_address())
        finally:
            # Keep no idle connection to a Sentinel: the next failover is far away.
            for client in cast(list[Any], self.sentinel_manager.sentinels):
                client.connection_pool.disconnect(inuse_connections=False)


class _AsyncMasterPool(redis.asyncio.sentinel.SentinelConnectionPool):
    async def get_master_address(self) -> Node:
        try:
            return cast(Node, await super().get_master_address())
        finally:  # no idle connection to a Sentinel: the next failover is far away
            for client in cast(list[Any], self.sentinel_manager.sentinels):
                await client.connection_pool.disconnect(inuse_connections=False)


def make_master_pool(address: Address, options: dict[str, Any]) -> ConnectionPool:
    """Return a pool of blocking connections to the master; opens none."""
    login = _sentinel_options(address, options)
    sentinel = redis.sentinel.Sentinel(address.nodes, sentinel_kwargs=login)
    return _MasterPool(address.service, sentinel, **_data_options(options))


def make_async_master_pool(address: Address, options: dict[str, Any]) -> AsyncConnectionPool:
    """Return a pool of asyncio connections to the master; opens none."""
    login = _sentinel_options(address, options)
    sentinel = redis.asyncio.sentinel.Sentinel(address.nodes, sentinel_kwargs=login)
    return _AsyncMasterPool(address.service, sentinel, **_data_options(options))


def _sentinel_options(address: Address, options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of the connections to the Sentinels, with the Sentinels' login."""
    return {
        **address.sentinel_login.options,
        "protocol": 2,
        "driver_info": None,
        "socket_connect_timeout": SENTINEL_TIMEOUT,
        "socket_timeout": SENTINEL_TIMEOUT,
        "retry": options["retry"],
    }


def _data_options(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of the data servers' connections; Sentinel supplies host and port."""
    left = {name: value for name, value in options.items() if name not in {"host", "port"}}
    over_tls = left.pop("connection_class", None) is not None
    return {**left, "ssl": over_tls}
