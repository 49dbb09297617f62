"""In which order a cluster's shell sends a batch to the nodes."""

from collections.abc import Sequence

from invokeq.protocol.redis.resp import Command
from invokeq.protocol.redis.slots import SlotMap, key_slot
from invokeq.transport.routing import interleave_by_node

KEYS = {"a": "{a}", "b": "{b}", "r": "{rq}"}
SLOTS = SlotMap(
    [[key_slot(key), key_slot(key), [name.encode(), 1, b"id"]] for name, key in KEYS.items()],
    ("asked", 9),
)


def sent(*segments: str) -> list[tuple[str, list[int]]]:
    """Say what is sent when each letter of each side is a command for the node of that name."""
    commands: list[Command] = [("GET", KEYS[name]) for side in segments for name in side]
    lengths: Sequence[int] = [len(side) for side in segments]
    found = interleave_by_node(commands, lengths if len(segments) > 1 else (), SLOTS)
    return [
        (node[0], [part.at for part in parts])
        for step in found
        for node, parts in step.items()
        if node is not None
    ]


def test_one_plan_is_sent_in_its_order() -> None:
    assert sent("arra") == [("a", [0]), ("r", [1, 2]), ("a", [3])]


def test_plans_side_by_side_share_round_trips() -> None:
    """As jobs do that are in one slot, with their leases in others."""
    assert sent("ar", "br", "ar") == [("a", [0, 4]), ("b", [2]), ("r", [1, 3, 5])]


def test_a_node_gets_its_commands_in_their_order() -> None:
    """Jobs keep their places in the lane, also where a lease lies with them, or there is none.

    Fails when the n-th parts of all sides go together, whatever went before: tried.
    """
    assert sent("ar", "rr", "br", "r") == [("a", [0]), ("b", [4]), ("r", [1, 2, 3, 5, 6])]


def test_a_side_waits_for_its_own_parts() -> None:
    assert sent("ra", "br") == [("r", [0]), ("b", [2]), ("a", [1]), ("r", [3])]
