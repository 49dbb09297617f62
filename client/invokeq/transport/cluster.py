"""The shells for a Redis Cluster: each command goes to the node of its slot.

A batch is parted where the node changes and its parts are sent one after the other, so what comes
first in a plan is in Redis first; each part is a round trip. Plans side by side go in step: their
first parts together, a round trip a node, then their second ones. When a slot has moved, or a node
is gone, the map is asked for anew and the whole batch is sent again, as after a broken connection.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from redis.exceptions import (
    AskError,
    ClusterDownError,
    MasterDownError,
    MovedError,
    RedisError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from invokeq.operations.plan import Batch
from invokeq.protocol.redis.address import (
    RQ_SLOT,
    Address,
    Node,
    SlotMap,
    parse_address,
    runs,
    slot_of,
)
from invokeq.protocol.redis.resp import Command, Reply
from invokeq.transport.aio import AsyncTransport
from invokeq.transport.blocking import Transport, redis_url

ASK_SLOTS: Batch = Batch([("CLUSTER", "SLOTS")])

_ELSEWHERE = (AskError, MovedError, ClusterDownError, MasterDownError, TryAgainError)


def open_transport(url: str | None) -> Transport:
    """Give the blocking shell for a URL; opens no connection."""
    address = parse_address(redis_url(url))
    return ClusterTransport(address) if address.kind == "cluster" else Transport(url)


def open_async_transport(url: str | None) -> AsyncTransport:
    """Give the asyncio shell for a URL; opens no connection."""
    address = parse_address(redis_url(url))
    return AsyncClusterTransport(address) if address.kind == "cluster" else AsyncTransport(url)


class ClusterTransport(Transport):
    """Carries plans out on a cluster with blocking sockets."""

    def __init__(self, address: Address) -> None:
        super().__init__(address.url_of(address.nodes[0]))
        self._where = address
        self._transports: dict[Node, Transport] = {}
        self._slots: SlotMap | None = None

    def close(self) -> None:
        for transport in list(self._transports.values()):
            transport.close()

    def once(self, batch: Batch) -> list[Reply]:
        slots = self._slots or self._learn()
        commands = batch.sent
        replies: list[Reply] = [None] * len(commands)
        try:
            for node, places in interleave_by_node(commands, batch.segments, slots):
                said = self._at(node).once(Batch([commands[at] for at in places]))
                for at, reply in zip(places, said, strict=True):
                    replies[at] = reply
                    if _is_ask(reply, commands[at]):
                        asked = Batch([("ASKING",), commands[at]])
                        replies[at] = self._at((reply.host, reply.port)).once(asked)[1]
            return check_map(replies)
        except (RedisConnectionError, RedisTimeoutError):
            self._slots = None
            raise

    def _at(self, node: Node | None) -> Transport:
        transport = self._transports.get(reached(node))
        if transport is None:
            transport = self._transports[reached(node)] = Transport(
                self._where.url_of(reached(node))
            )
        return transport

    def _learn(self) -> SlotMap:
        problem: RedisError | None = None
        for node in dict.fromkeys([*self._transports, *self._where.nodes]):
            try:
                (reply,) = self._at(node).once(ASK_SLOTS)
                self._slots = slots_said(reply, node)
                return self._slots
            except (RedisConnectionError, RedisTimeoutError) as error:
                problem = error
        raise problem or RedisConnectionError("no node of the cluster answers")


class AsyncClusterTransport(AsyncTransport):
    """Carries plans out on a cluster with asyncio."""

    def __init__(self, address: Address) -> None:
        super().__init__(address.url_of(address.nodes[0]))
        self._where = address
        self._transports: dict[Node, AsyncTransport] = {}
        self._slots: SlotMap | None = None

    async def close(self) -> None:
        for transport in list(self._transports.values()):
            await transport.close()

    async def once(self, batch: Batch) -> list[Reply]:
        slots = self._slots or await self._learn()
        commands = batch.commands
        replies: list[Reply] = [None] * len(commands)
        try:
            for node, places in interleave_by_node(commands, batch.segments, slots):
                said = await self._at(node).once(Batch([commands[at] for at in places]))
                for at, reply in zip(places, said, strict=True):
                    replies[at] = reply
                    if _is_ask(reply, commands[at]):
                        asked = Batch([("ASKING",), commands[at]])
                        replies[at] = (await self._at((reply.host, reply.port)).once(asked))[1]
            if batch.wait is not None:
                ((node, _),) = runs([batch.wait.command()], slots)
                replies += await self._at(node).once(Batch([], wait=batch.wait))
            return check_map(replies)
        except (RedisConnectionError, RedisTimeoutError):
            self._slots = None
            raise

    def _at(self, node: Node | None) -> AsyncTransport:
        transport = self._transports.get(reached(node))
        if transport is None:
            transport = self._transports[reached(node)] = self._open(reached(node))
        return transport

    def _open(self, node: Node) -> AsyncTransport:
        # A node reads several streams at once only if they are in one slot.
        return AsyncTransport(self._where.url_of(node), gather_plans=False)

    async def _learn(self) -> SlotMap:
        problem: RedisError | None = None
        for node in dict.fromkeys([*self._transports, *self._where.nodes]):
            try:
                (reply,) = await self._at(node).once(ASK_SLOTS)
                self._slots = slots_said(reply, node)
                return self._slots
            except (RedisConnectionError, RedisTimeoutError) as error:
                problem = error
        raise problem or RedisConnectionError("no node of the cluster answers")


def interleave_by_node(
    commands: Sequence[Command], segments: Sequence[int], slots: SlotMap
) -> Iterator[tuple[Node | None, list[int]]]:
    """Give what is sent to a node at a time, as places in `commands`.

    The commands of a side keep their order, and so do those for one node: as far as that allows,
    parts of several sides go together.
    """
    steps: list[dict[Node | None, list[int]]] = []
    last: dict[Node | None, int] = {}
    end = 0
    for length in segments or (len(commands),):
        at, end = end, end + length
        step = -1
        for node, part in runs(commands[at:end], slots):
            step = last[node] = max(step + 1, last.get(node, 0))
            steps += [{} for _ in range(len(steps), step + 1)]
            steps[step].setdefault(node, []).extend(range(at, at + len(part)))
            at += len(part)
    for parts in steps:
        yield from parts.items()


def _is_ask(reply: Reply, command: Command) -> bool:
    """Tell whether another node is to be asked this once; never for what a MULTI may hold."""
    return type(reply) is AskError and slot_of(command) != RQ_SLOT


def reached(node: Node | None) -> Node:
    """Give the node, or raise redis' ConnectionError for a slot that nobody has."""
    if node is None:
        raise RedisConnectionError("no node of the cluster has this slot")
    return node


def slots_said(reply: Any, node: Node) -> SlotMap:
    """Read the answer to CLUSTER SLOTS; what is none is redis' ConnectionError or its own."""
    if isinstance(reply, RedisError):
        raise reply
    return SlotMap(reply, node)


def check_map(replies: list[Reply]) -> list[Reply]:
    """Give the replies back, or raise redis' ConnectionError if the map is not right any more."""
    for reply in replies:
        if isinstance(reply, _ELSEWHERE):
            raise RedisConnectionError(f"the cluster says: {reply}")
    return replies
