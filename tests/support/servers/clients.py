"""Blocking clients of the server or the cluster of a test."""

from typing import Any, cast

import redis

from invokeq.protocol.redis.address import Address, Node, parse_address
from invokeq.protocol.redis.slots import RQ_SLOT, SlotMap, slot_of

_TO_ALL = {"ACL", "CLIENT", "CONFIG", "DBSIZE", "FLUSHALL", "FLUSHDB", "KEYS"}
_MANY_KEYS = {"DEL", "EXISTS"}
_SUBCOMMANDS = {"MEMORY"}


class ClusterClient(redis.Redis):
    """The masters of a cluster behind the interface of one server.

    A command goes to the master of its key. A command about a whole server goes to all masters, and
    the answers are joined. Pipelines, scripts, subscriptions and commands without a key go to the
    master of RQ's slot.
    """

    def __init__(self, address: Address) -> None:
        self._slots = _ask_slots(address)
        self._masters: dict[Node, Any] = {
            node: redis.Redis.from_url(address.url_of(node), protocol=2)
            for node in self._slots.nodes
        }
        super().__init__(connection_pool=self._at(RQ_SLOT).connection_pool)

    def execute_command(self, *args: Any, **options: Any) -> Any:
        words = (*str(args[0]).split(), *args[1:])
        name = words[0].upper()
        if name in _TO_ALL:
            masters = self._masters.values()
            return _joined([master.execute_command(*args, **options) for master in masters])
        if name in _MANY_KEYS:
            each = [(name, key) for key in args[1:]]
            return sum(self._at(slot_of(one)).execute_command(*one) for one in each)
        keyed = words[1:] if name in _SUBCOMMANDS else words
        slot = slot_of(keyed) if len(keyed) > 1 else RQ_SLOT
        return self._at(slot).execute_command(*args, **options)

    def close(self) -> None:
        for master in self._masters.values():
            master.close()

    def _at(self, slot: int) -> Any:
        node = self._slots.node_of(slot)
        assert node is not None
        return self._masters[node]


def connect(url: str) -> redis.Redis:
    """Open a client; the caller closes the client."""
    address = parse_address(url)
    if address.kind == "cluster":
        return ClusterClient(address)
    return redis.Redis.from_url(url, protocol=2)


def rq_url(url: str) -> str:
    """Return the address of the one server with RQ's keys, for RQ's own tools."""
    address = parse_address(url)
    if address.kind != "cluster":
        return url
    node = _ask_slots(address).node_of(RQ_SLOT)
    assert node is not None
    return address.url_of(node)


def _ask_slots(address: Address) -> SlotMap:
    node: Node = address.nodes[0]
    with redis.Redis.from_url(address.url_of(node), protocol=2) as client:
        reply = cast(Any, client).execute_command("CLUSTER", "SLOTS")
    return SlotMap(reply, node)


def _joined(answers: list[Any]) -> Any:
    if isinstance(answers[0], list):
        return [each for answer in answers for each in answer]
    return sum(answers) if type(answers[0]) is int else answers[0]
