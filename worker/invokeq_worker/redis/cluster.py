"""A connection to a Redis Cluster: each command goes to the node of its slot.

What concerns invocations goes out first, to all nodes at once; what concerns RQ's books, which are
in one slot, follows when that is answered. So books are closed after the last event is written.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, cast

from redis.asyncio import ConnectionPool
from redis.exceptions import (
    AskError,
    ClusterDownError,
    MasterDownError,
    MovedError,
    ResponseError,
    TryAgainError,
)

from invokeq.protocol.redis.address import RQ_SLOT, Address, Node, SlotMap, slot_of
from invokeq.protocol.redis.resp import Command, Reply
from invokeq_worker.redis.connection import RedisConnection, RedisConnectionLostError

LEARN_TIMEOUT = 2.0
"""Seconds for one node to say which slots there are."""

_ELSEWHERE = (MovedError, AskError, ClusterDownError, MasterDownError, TryAgainError)


class Cluster:
    """Which node has which slot, for all Links of a worker."""

    def __init__(self, address: Address, settings: Mapping[str, Any]) -> None:
        self._address = address
        self._settings = settings
        self._pools: dict[Node, ConnectionPool] = {}
        self._slots: SlotMap | None = None

    def pool(self, node: Node) -> ConnectionPool:
        """Give what makes connections to a node."""
        if node not in self._pools:
            url = self._address.url_of(node)
            self._pools[node] = ConnectionPool.from_url(url, **self._settings)
        return self._pools[node]

    def forget(self) -> None:
        """Ask again before the next command."""
        self._slots = None

    async def slots(self) -> SlotMap:
        """Give the map; LinkError if no node answers."""
        if self._slots is None:
            self._slots = await self._learn()
        return self._slots

    async def rq_node(self) -> Node:
        """Give the node of RQ's slot as it is now; LinkError if there is none."""
        self.forget()
        return _reached((await self.slots()).node_of(RQ_SLOT))

    async def _learn(self) -> SlotMap:
        problem = "no node of the cluster answers"
        for node in dict.fromkeys([*self._pools, *self._address.nodes]):
            link = RedisConnection(self.pool(node))
            try:
                return SlotMap(await link.one("CLUSTER", "SLOTS", timeout=LEARN_TIMEOUT), node)
            except (RedisConnectionLostError, ResponseError) as error:
                problem = str(error)
            finally:
                await link.close()
        raise RedisConnectionLostError(problem)


class _Part(NamedTuple):
    """A command, and where its reply belongs: in the batch, and in the list of an MGET."""

    command: Command
    at: int
    within: int | None = None


class ClusterConnection(RedisConnection):
    """A connection to each node that is needed; not to be shared between tasks."""

    def __init__(self, pool: ConnectionPool, cluster: Cluster) -> None:
        super().__init__(pool)
        self._cluster = cluster
        self._links: dict[Node, RedisConnection] = {}

    async def exchange(self, commands: Sequence[Command], timeout: float) -> list[Reply]:
        try:
            async with asyncio.timeout(timeout):
                return await self._exchange(commands, timeout)
        except TimeoutError:
            self._cluster.forget()
            raise RedisConnectionLostError(f"no answer within {timeout} s") from None
        except RedisConnectionLostError:
            self._cluster.forget()
            raise

    async def close(self) -> None:
        links, self._links = self._links, {}
        for link in links.values():
            await link.close()

    def clone(self) -> RedisConnection:
        return ClusterConnection(self.pool, self._cluster)

    async def _exchange(self, commands: Sequence[Command], timeout: float) -> list[Reply]:
        slots = await self._cluster.slots()
        replies: list[Reply] = [[None] * (len(c) - 1) if c[0] == "MGET" else None for c in commands]
        of_nodes: dict[Node, list[_Part]] = {}
        books: list[_Part] = []
        for part in _parts(commands):
            slot = slot_of(part.command)
            if slot == RQ_SLOT:
                books.append(part)
            else:
                of_nodes.setdefault(_reached(slots.node_of(slot)), []).append(part)
        sent = [self._send(node, parts, timeout, replies) for node, parts in of_nodes.items()]
        failed = [e for e in await asyncio.gather(*sent, return_exceptions=True) if e is not None]
        if failed:
            raise failed[0]
        if books:
            await self._send(_reached(slots.node_of(RQ_SLOT)), books, timeout, replies)
        return replies

    async def _send(
        self, node: Node, parts: list[_Part], timeout: float, replies: list[Reply]
    ) -> None:
        link = self._links.get(node)
        if link is None:
            link = self._links[node] = RedisConnection(self._cluster.pool(node))
        said = await link.exchange([part.command for part in parts], timeout)
        for part, answer in zip(parts, said, strict=True):
            reply = answer
            if type(answer) is AskError and slot_of(part.command) != RQ_SLOT:
                where = cast(Any, answer)
                reply = await self._ask((where.host, where.port), part.command, timeout)
            if isinstance(reply, _ELSEWHERE):
                raise RedisConnectionLostError(f"the cluster says: {reply}")
            if part.within is None:
                replies[part.at] = reply
            else:
                replies[part.at][part.within] = None if isinstance(reply, Exception) else reply

    async def _ask(self, node: Node, command: Command, timeout: float) -> Reply:
        """Send a command to the node that is just getting its slot."""
        link = RedisConnection(self._cluster.pool(node))
        try:
            return (await link.exchange([("ASKING",), command], timeout))[1]
        finally:
            await link.close()


def _parts(commands: Sequence[Command]) -> Iterable[_Part]:
    for at, command in enumerate(commands):
        if command[0] == "MGET":
            for within, key in enumerate(command[1:]):
                yield _Part(("GET", key), at, within)
        else:
            yield _Part(command, at)


def _reached(node: Node | None) -> Node:
    if node is None:
        raise RedisConnectionLostError("no node of the cluster has this slot")
    return node
