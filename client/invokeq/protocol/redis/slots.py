"""The slots of a Redis Cluster: the slot of a key or a command, and the node of a slot."""

import binascii
from collections.abc import Iterator, Sequence
from typing import Any, Final

from rq.defaults import RQ_KEY_PREFIX

from invokeq.protocol.redis.address import Node
from invokeq.protocol.redis.resp import Command

SLOTS: Final = 16384


def key_slot(key: str | bytes) -> int:
    """Return the slot of a key: of the hash tag between the first braces, if there is one."""
    # CRC16 (XMODEM) modulo 16384, by the Redis Cluster specification; `{}` is no hash tag.
    name = key.encode() if isinstance(key, str) else key
    begin = name.find(b"{")
    end = name.find(b"}", begin + 1) if begin >= 0 else -1
    tag = name[begin + 1 : end] if end > begin + 1 else name
    return binascii.crc_hqx(tag, 0) % SLOTS


RQ_SLOT: Final = key_slot(f"{RQ_KEY_PREFIX}:queues")
"""The slot of all keys of RQ's family, and of commands without a key."""

_SCRIPTS: Final = frozenset({"EVAL", "EVALSHA"})
_KEYLESS: Final = frozenset(
    {"MULTI", "EXEC", "TIME", "PUBLISH", "SCRIPT", "INFO", "PING", "CLUSTER", "ASKING"}
)


def slot_of(command: Command) -> int:
    """Return the slot of a command; only commands that invokeq sends are understood."""
    name = str(command[0])
    # MULTI and EXEC frame transactions on keys of RQ's family only, hence go to the same node.
    if name in _KEYLESS:
        return RQ_SLOT
    if name in _SCRIPTS:
        return _slot_at(command, 3) if command[2] else RQ_SLOT
    if name == "XREAD":
        return _slot_at(command, command.index("STREAMS") + 1)
    return _slot_at(command, 1)


def _slot_at(command: Command, at: int) -> int:
    key = command[at]
    return key_slot(key if isinstance(key, bytes) else str(key))


class SlotMap:
    """The masters of all slots, by the reply of the node `asked` to CLUSTER SLOTS."""

    def __init__(self, reply: Sequence[Any], asked: Node) -> None:
        self._ranges = [
            (int(begin), int(end), (_host(master[0]) or asked[0], int(master[1])))
            for begin, end, master, *_ in reply
        ]
        self.nodes: tuple[Node, ...] = tuple(dict.fromkeys(node for _, _, node in self._ranges))

    def node_of(self, slot: int) -> Node | None:
        """Return the master of a slot; None while the slot has no master."""
        return next((node for begin, end, node in self._ranges if begin <= slot <= end), None)


def _host(value: bytes | str | None) -> str:
    # A node without knowledge of its own host replies with an empty host, or with a question mark.
    text = value.decode() if isinstance(value, bytes) else value or ""
    return "" if text == "?" else text


def split_by_node(
    commands: Sequence[Command], slots: SlotMap
) -> Iterator[tuple[Node | None, list[Command]]]:
    """Split commands where the node changes; yield each node with a run of commands, in order."""
    run: list[Command] = []
    last: Node | None = None
    for command in commands:
        node = slots.node_of(slot_of(command))
        if run and node != last:
            yield last, run
            run = []
        last = node
        run.append(command)
    if run:
        yield last, run
