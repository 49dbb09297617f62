"""Execute plans on a Redis Cluster: each command goes to the node of its slot.

A batch is split where the node changes, and the parts are sent one after the other, so that what
comes first in a plan is in Redis first; each part is a round trip. The segments of a batch advance
together: their first parts share a round trip a node, then their second parts. How slots are
learned and redirections followed is in `invokeq.transport.routing`.
"""

from collections.abc import Callable
from functools import partial

from invokeq.protocol.redis.address import Address, Node, parse_address
from invokeq.protocol.redis.resp import Reply
from invokeq.protocol.redis.slots import SlotMap
from invokeq.transport.aio import AsyncTransport
from invokeq.transport.batch import Batch, RedisConnectionLostError, StreamWait
from invokeq.transport.blocking import Transport
from invokeq.transport.routing import (
    ClusterRouter,
    NodeBatch,
    Steps,
    check_outdated,
    drive,
    drive_blocking,
    interleave_by_node,
)
from invokeq.transport.settings import redis_url


def open_transport(url: str | None) -> Transport:
    """Return the blocking transport for a URL; opens no connection."""
    address = parse_address(redis_url(url))
    return ClusterTransport(address) if address.kind == "cluster" else Transport(url)


def open_async_transport(url: str | None) -> AsyncTransport:
    """Return the asyncio transport for a URL; opens no connection."""
    address = parse_address(redis_url(url))
    return AsyncClusterTransport(address) if address.kind == "cluster" else AsyncTransport(url)


class ClusterTransport(Transport):
    """Executes plans on a cluster with blocking sockets: a transport for each node."""

    def __init__(self, address: Address) -> None:
        super().__init__(address.url_of(address.nodes[0]))
        self._cluster = address
        self._router = ClusterRouter(address)
        self._transports: dict[Node, Transport] = {}

    def close(self) -> None:
        for transport in list(self._transports.values()):
            transport.close()

    def blocking_twin(self) -> Callable[[], Transport]:
        return partial(ClusterTransport, self._cluster)

    def once(self, batch: Batch) -> list[Reply]:
        commands = batch.all_commands

        def arrange(slots: SlotMap) -> Steps:
            return interleave_by_node(commands, batch.segments, slots)

        return drive_blocking(self._router.exchange(commands, arrange), self._send)

    def _send(self, batch: NodeBatch) -> list[Reply]:
        transport = self._transports.get(batch.node)
        if transport is None:
            transport = Transport(self._cluster.url_of(batch.node))
            self._transports[batch.node] = transport
        return transport.once(Batch(batch.commands))


class AsyncClusterTransport(AsyncTransport):
    """Executes plans on a cluster with asyncio: a transport for each node."""

    def __init__(self, address: Address) -> None:
        super().__init__(address.url_of(address.nodes[0]))
        self._cluster = address
        self._router = ClusterRouter(address)
        self._transports: dict[Node, AsyncTransport] = {}

    async def close(self) -> None:
        for transport in list(self._transports.values()):
            await transport.close()

    def blocking_twin(self) -> Callable[[], Transport]:
        return partial(ClusterTransport, self._cluster)

    async def once(self, batch: Batch) -> list[Reply]:
        def arrange(slots: SlotMap) -> Steps:
            return interleave_by_node(batch.commands, batch.segments, slots)

        exchange = self._router.exchange(batch.commands, arrange)
        replies = await drive(exchange, self._send)
        if batch.wait is not None:
            replies.append(await self._wait(batch.wait))
        return replies

    async def _send(self, batch: NodeBatch) -> list[Reply]:
        return await self._at(batch.node).once(Batch(batch.commands))

    async def _wait(self, wait: StreamWait) -> Reply:
        try:
            # Asked again, not kept from the commands: the map may have been dropped meanwhile.
            node = await drive(self._router.find_node(wait.command()), self._send)
            (reply,) = await self._at(node).once(Batch([], wait=wait))
            return check_outdated(reply)
        except RedisConnectionLostError:
            self._router.forget()
            raise

    def _at(self, node: Node) -> AsyncTransport:
        transport = self._transports.get(node)
        if transport is None:
            # A node accepts several streams in one XREAD only if they share a slot.
            transport = AsyncTransport(self._cluster.url_of(node), multiplex=False)
            self._transports[node] = transport
        return transport
