"""Route commands to the nodes of a Redis Cluster, in order; without any I/O.

An exchange with a cluster is a generator. Each `yield` is a step: a list of node batches for the
same time, answered with a list of replies to each. `drive` sends the steps on asyncio,
`drive_blocking` with blocking sockets. After a moved slot or a lost node, the slot map is dropped
and the exchange raises RedisConnectionLostError. The caller then resends the whole batch, as after
a broken connection.
"""

import asyncio
from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import Final, NamedTuple, TypeAlias, TypeVar

from redis.exceptions import (
    AskError,
    ClusterDownError,
    MasterDownError,
    MovedError,
    RedisError,
    TryAgainError,
)

from invokeq.protocol.redis.address import Address, Node
from invokeq.protocol.redis.resp import Command, Reply
from invokeq.protocol.redis.slots import RQ_SLOT, SlotMap, slot_of, split_by_node
from invokeq.transport.batch import RedisConnectionLostError

T = TypeVar("T")

SLOTS_TIMEOUT: Final = 2.0
"""Seconds for one node to answer CLUSTER SLOTS, where the connection can bound one exchange."""

_CLUSTER_SLOTS: Final[Command] = ("CLUSTER", "SLOTS")
_OUTDATED: Final = (AskError, MovedError, ClusterDownError, MasterDownError, TryAgainError)


class NodeBatch(NamedTuple):
    """Commands for one node; `timeout` is in seconds, None leaves the bound to the sender."""

    node: Node
    commands: list[Command]
    timeout: float | None = None


class Part(NamedTuple):
    """One command, and the place of the reply: `at` in the batch, `within` the list of an MGET."""

    command: Command
    at: int
    within: int | None = None


Steps: TypeAlias = list[dict[Node | None, list[Part]]]
"""The parts for each node, step after step; the node None stands for a slot without a master."""

Exchange: TypeAlias = Generator[list[NodeBatch], list[list[Reply]], T]


class ClusterRouter:
    """The slot map of one cluster, learned on first use and after a change."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._reached: dict[Node, None] = {}
        self._slots: SlotMap | None = None

    def forget(self) -> None:
        """Drop the slot map; the next exchange asks for a new one."""
        self._slots = None

    def find_node(self, command: Command) -> Exchange[Node]:
        """Return the node of a command; learn the slot map first if unknown."""
        slots = self._slots or (yield from self.learn())
        return reached(slots.node_of(slot_of(command)))

    def exchange(
        self, commands: Sequence[Command], arrange: Callable[[SlotMap], Steps]
    ) -> Exchange[list[Reply]]:
        """Return one reply per command, in order.

        One round trip for each step of `arrange`, and one more to learn the slots. Raise
        RedisConnectionLostError when the map proves wrong, or a node is lost.
        """
        try:
            slots = self._slots or (yield from self.learn())
            replies: list[Reply] = [
                [None] * (len(command) - 1) if command[0] == "MGET" else None
                for command in commands
            ]
            for step in arrange(slots):
                yield from self._exchange_step(step, replies)
            return replies
        except RedisConnectionLostError:
            self.forget()
            raise

    def learn(self) -> Exchange[SlotMap]:
        """Return the slot map, asked from one node after the other, known nodes first.

        Raise RedisConnectionLostError when no node answers.
        """
        lost = RedisConnectionLostError("no node of the cluster answers")
        for node in dict.fromkeys([*self._reached, *self._address.nodes]):
            try:
                ((reply,),) = yield [NodeBatch(node, [_CLUSTER_SLOTS], SLOTS_TIMEOUT)]
            except RedisConnectionLostError as error:
                lost = error
            else:
                if not isinstance(reply, RedisError):
                    self._slots = SlotMap(reply, node)
                    return self._slots
                lost = RedisConnectionLostError.because_of(reply)
        raise lost

    def _exchange_step(
        self, step: dict[Node | None, list[Part]], replies: list[Reply]
    ) -> Exchange[None]:
        batches = [
            NodeBatch(reached(node), [part.command for part in parts])
            for node, parts in step.items()
        ]
        # The nodes of the URL may be gone one day: known nodes are asked for the next map first.
        self._reached |= dict.fromkeys(batch.node for batch in batches)
        answers = yield batches
        asked: dict[Node, list[Part]] = {}
        for parts, answered in zip(step.values(), answers, strict=True):
            for part, reply in zip(parts, answered, strict=True):
                if _is_redirected(reply, part.command):
                    asked.setdefault((reply.host, reply.port), []).append(part)
                else:
                    _place(replies, part, check_outdated(reply))
        if asked:
            yield from self._exchange_asked(asked, replies)

    def _exchange_asked(
        self, asked: dict[Node, list[Part]], replies: list[Reply]
    ) -> Exchange[None]:
        """Send commands to the importing nodes of migrating slots, each after an ASKING."""
        answers = yield [
            NodeBatch(node, [c for part in parts for c in (("ASKING",), part.command)])
            for node, parts in asked.items()
        ]
        for parts, answered in zip(asked.values(), answers, strict=True):
            for part, reply in zip(parts, answered[1::2], strict=True):
                _place(replies, part, check_outdated(reply))


def interleave_by_node(
    commands: Sequence[Command], segments: Sequence[int], slots: SlotMap
) -> Steps:
    """Return commands in as few steps as possible, with the order within each segment kept.

    A segment is split where the node changes, and each part waits for the part before. Parts of
    several segments share a step. Each node receives commands in the order of the batch.
    """
    steps: Steps = []
    last: dict[Node | None, int] = {}
    end = 0
    for length in segments or (len(commands),):
        at, end = end, end + length
        step = -1
        for node, part in split_by_node(commands[at:end], slots):
            # After the previous part of the segment, and not before an earlier part for the node.
            step = last[node] = max(step + 1, last.get(node, 0))
            steps += [{} for _ in range(len(steps), step + 1)]
            places = range(at, at + len(part))
            steps[step].setdefault(node, []).extend(map(Part, part, places))
            at += len(part)
    return steps


def invocations_first(commands: Sequence[Command], slots: SlotMap) -> Steps:
    """Return commands in two steps: keys of invocations on all nodes, then RQ's slot.

    So RQ's record of a job ends after the last event is written. An MGET over several slots
    becomes one GET per key.
    """
    invocations: dict[Node | None, list[Part]] = {}
    records: dict[Node | None, list[Part]] = {}
    for at, command in enumerate(commands):
        if command[0] == "MGET":
            parts = [Part(("GET", key), at, within) for within, key in enumerate(command[1:])]
        else:
            parts = [Part(command, at)]
        for part in parts:
            slot = slot_of(part.command)
            step = records if slot == RQ_SLOT else invocations
            step.setdefault(slots.node_of(slot), []).append(part)
    return [step for step in (invocations, records) if step]


def reached(node: Node | None) -> Node:
    """Return the node. Raise RedisConnectionLostError for a slot without a master."""
    if node is None:
        raise RedisConnectionLostError("no node of the cluster has this slot")
    return node


def check_outdated(reply: Reply) -> Reply:
    """Return the reply. Raise RedisConnectionLostError if the slot map is out of date."""
    if isinstance(reply, _OUTDATED):
        raise RedisConnectionLostError(f"the cluster says: {reply}")
    return reply


async def drive(exchange: Exchange[T], send: Callable[[NodeBatch], Awaitable[list[Reply]]]) -> T:
    """Return the result of an exchange on asyncio; the node batches of a step run concurrently."""
    try:
        step = next(exchange)
        while True:
            try:
                replies = await _send_step(step, send)
            except RedisConnectionLostError as error:
                step = exchange.throw(error)
            else:
                step = exchange.send(replies)
    except StopIteration as stop:
        return stop.value
    finally:
        exchange.close()


def drive_blocking(exchange: Exchange[T], send: Callable[[NodeBatch], list[Reply]]) -> T:
    """Return the result of an exchange with blocking sockets; node batches are sent in turn."""
    try:
        step = next(exchange)
        while True:
            try:
                replies = [send(batch) for batch in step]
            except RedisConnectionLostError as error:
                step = exchange.throw(error)
            else:
                step = exchange.send(replies)
    except StopIteration as stop:
        return stop.value
    finally:
        exchange.close()


async def _send_step(
    step: list[NodeBatch], send: Callable[[NodeBatch], Awaitable[list[Reply]]]
) -> list[list[Reply]]:
    if len(step) == 1:
        return [await send(step[0])]
    # Wait for all: none may still be writing when the batch is sent again after a failure.
    outcomes = await asyncio.gather(*map(send, step), return_exceptions=True)
    replies: list[list[Reply]] = []
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
        replies.append(outcome)
    return replies


def _is_redirected(reply: Reply, command: Command) -> bool:
    """Return whether to ask another node for a single command, after an ASK reply."""
    # Never for RQ's slot: ASKING covers one command, and not a whole MULTI.
    return type(reply) is AskError and slot_of(command) != RQ_SLOT


def _place(replies: list[Reply], part: Part, reply: Reply) -> None:
    if part.within is None:
        replies[part.at] = reply
    else:
        replies[part.at][part.within] = None if isinstance(reply, Exception) else reply
