"""One asyncio connection to all nodes of a cluster, and pools for the node of RQ's slot.

A worker reads and writes through `ClusterConnection`. Code for a single server, such as RQ and a
subscription to RQ's channels, uses the pools. A connection of a pool goes to the master of RQ's
slot at the time of connecting.
"""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

from redis import Connection, SSLConnection
from redis import asyncio as aredis
from redis.asyncio import ConnectionPool
from redis.exceptions import ConnectionError as RedisConnectionError

from invokeq.protocol.redis.address import Address, Node
from invokeq.protocol.redis.resp import Command, Reply
from invokeq.protocol.redis.slots import RQ_SLOT, SlotMap
from invokeq.transport.batch import RedisConnectionLostError
from invokeq.transport.connection import RedisConnection, exchange_blocking
from invokeq.transport.routing import (
    ClusterRouter,
    NodeBatch,
    Steps,
    drive,
    drive_blocking,
    invocations_first,
    reached,
)


class ClusterNodes:
    """The nodes of one cluster: the slot map, and a pool of settings for each node."""

    def __init__(self, address: Address, options: dict[str, Any]) -> None:
        self.router: ClusterRouter = ClusterRouter(address)
        self._options = options
        self._pools: dict[Node, ConnectionPool] = {}

    def pool(self, node: Node) -> ConnectionPool:
        """Return the pool of connections to a node, made on first use."""
        if node not in self._pools:
            host, port = node
            options: dict[str, Any] = {**self._options, "host": host, "port": port}
            self._pools[node] = ConnectionPool(**options)
        return self._pools[node]

    async def find_rq_node(self) -> Node:
        """Return the master of RQ's slot. Raise RedisConnectionLostError without a master."""
        # Always asks anew: redis-py reconnects after a failover, and the known map may be old.
        connections = _NodeConnections(self)
        try:
            slots = await drive(self.router.learn(), connections.send)
        finally:
            await connections.close()
        return reached(slots.node_of(RQ_SLOT))


class _NodeConnections:
    """A connection to each node used so far."""

    def __init__(self, nodes: ClusterNodes) -> None:
        self._nodes = nodes
        self._open: dict[Node, RedisConnection] = {}

    async def send(self, batch: NodeBatch, timeout: float = float("inf")) -> list[Reply]:
        connection = self._open.get(batch.node)
        if connection is None:
            pool = self._nodes.pool(batch.node)
            connection = self._open[batch.node] = RedisConnection(pool)
        bound = timeout if batch.timeout is None else min(timeout, batch.timeout)
        return await connection.exchange(batch.commands, bound)

    async def close(self) -> None:
        connections, self._open = self._open, {}
        for connection in connections.values():
            await connection.close()


class ClusterPool(ConnectionPool):
    """A pool of connections to the node of RQ's slot; `nodes` has pools of all nodes."""

    def __init__(self, address: Address, options: dict[str, Any]) -> None:
        over_tls = options.get("connection_class") is not None
        kind = _AsyncAtRQOverTLS if over_tls else _AsyncAtRQ
        self.nodes: ClusterNodes = ClusterNodes(address, options)
        own: dict[str, Any] = {"connection_class": kind, "nodes": self.nodes}
        super().__init__(**{**options, **own})


class ClusterConnection(RedisConnection):
    """Connections to all needed nodes, used as one; not to be shared between tasks.

    Keys of invocations are written first, on all nodes at the same time; RQ's slot follows.
    """

    def __init__(self, pool: ClusterPool) -> None:
        super().__init__(pool)
        self._nodes = pool.nodes
        self._connections = _NodeConnections(pool.nodes)

    async def exchange(self, commands: Sequence[Command], timeout: float) -> list[Reply]:
        """Send a batch and return one reply per command, in order.

        Two round trips at most: one to the nodes of invocations, one to the node of RQ's slot.
        Raise RedisConnectionLostError when a connection breaks, or after `timeout` seconds.
        """
        router = self._nodes.router

        def arrange(slots: SlotMap) -> Steps:
            return invocations_first(commands, slots)

        try:
            async with asyncio.timeout(timeout):
                send = partial(self._connections.send, timeout=timeout)
                return await drive(router.exchange(commands, arrange), send)
        except TimeoutError:
            # A replica may have taken over the slots of a hanging node meanwhile.
            router.forget()
            raise RedisConnectionLostError(f"no answer within {timeout:g} s") from None

    def clone(self) -> RedisConnection:
        """Return another connection to the same cluster; opens none."""
        return open_cluster_connection(self.pool)

    async def close(self) -> None:
        """Close the connections to all nodes; the next exchange opens new ones."""
        await self._connections.close()


def open_cluster_connection(pool: ConnectionPool) -> RedisConnection:
    """Return a connection to all nodes of a `ClusterPool`, or to the server of another pool."""
    return ClusterConnection(pool) if isinstance(pool, ClusterPool) else RedisConnection(pool)


class _AsyncAtRQ(aredis.Connection):
    def __init__(self, *, nodes: ClusterNodes, **options: Any) -> None:
        super().__init__(**options)
        self._nodes = nodes

    async def _connect(self) -> None:
        # On every connect, not once: the slot may move between two connections of a pool.
        try:
            self.host, self.port = await self._nodes.find_rq_node()
        except RedisConnectionLostError as error:
            raise RedisConnectionError(str(error)) from None
        await super()._connect()


class _AsyncAtRQOverTLS(_AsyncAtRQ, aredis.SSLConnection):
    pass


class AtRQ(Connection):
    """A blocking connection to the master of RQ's slot at the time of connecting."""

    port: int

    def __init__(self, *, address: Address, node_options: dict[str, Any], **options: Any) -> None:
        super().__init__(**options)
        self._address = address
        self._node_options = node_options

    def _connect(self) -> Any:
        try:
            slots = drive_blocking(ClusterRouter(self._address).learn(), self._send)
            self.host, self.port = reached(slots.node_of(RQ_SLOT))
        except RedisConnectionLostError as error:
            raise RedisConnectionError(str(error)) from None
        return super()._connect()

    def _send(self, batch: NodeBatch) -> list[Reply]:
        host, port = batch.node
        options: dict[str, Any] = {**self._node_options, "host": host, "port": port}
        connection: Connection = options.pop("connection_class", Connection)(**options)
        try:
            return exchange_blocking(connection, batch.commands)
        finally:
            connection.disconnect()


class AtRQOverTLS(AtRQ, SSLConnection):
    """As `AtRQ`, over TLS."""
