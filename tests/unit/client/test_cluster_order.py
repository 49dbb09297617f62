"""How a batch for a cluster is routed: its order, redirections, and slots that moved."""

from collections.abc import Sequence

import pytest
from redis.exceptions import AskError, MovedError, ResponseError

from invokeq.protocol.redis.address import parse_address
from invokeq.protocol.redis.resp import Command, Reply
from invokeq.protocol.redis.slots import SlotMap, key_slot
from invokeq.transport.batch import RedisConnectionLostError
from invokeq.transport.routing import (
    ClusterRouter,
    NodeBatch,
    drive,
    drive_blocking,
    interleave_by_node,
    invocations_first,
)

KEYS = {"a": "{a}", "b": "{b}", "r": "{rq}"}
SLOTS = SlotMap(
    [[key_slot(key), key_slot(key), [name.encode(), 1, b"id"]] for name, key in KEYS.items()],
    ("asked", 9),
)
RQ_KEY = "rq:queues"
RQ_SLOTS = SlotMap(
    [
        [key_slot(key), key_slot(key), [name.encode(), 1, b"id"]]
        for name, key in {**KEYS, "r": RQ_KEY}.items()
    ],
    ("asked", 9),
)


def sent(*segments: str) -> list[tuple[str, list[int]]]:
    """Return what is sent when each letter of a segment is a command for the node of that name."""
    commands: list[Command] = [("GET", KEYS[name]) for segment in segments for name in segment]
    lengths: Sequence[int] = [len(segment) for segment in segments]
    found = interleave_by_node(commands, lengths if len(segments) > 1 else (), SLOTS)
    return [
        (node[0], [part.at for part in parts])
        for step in found
        for node, parts in step.items()
        if node is not None
    ]


def test_one_plan_is_sent_in_its_order() -> None:
    assert sent("arra") == [("a", [0]), ("r", [1, 2]), ("a", [3])]


def test_gathered_plans_share_round_trips() -> None:
    """As jobs do that are in one slot, with their leases in others."""
    assert sent("ar", "br", "ar") == [("a", [0, 4]), ("b", [2]), ("r", [1, 3, 5])]


def test_a_node_gets_its_commands_in_their_order() -> None:
    """Jobs keep their places in the lane, also where a lease lies with them, or there is none.

    Fails when the n-th parts of all segments go together, whatever went before: tried.
    """
    assert sent("ar", "rr", "br", "r") == [("a", [0]), ("b", [4]), ("r", [1, 2, 3, 5, 6])]


def test_a_segment_waits_for_its_own_parts() -> None:
    assert sent("ra", "br") == [("r", [0]), ("b", [2]), ("a", [1]), ("r", [3])]


def test_a_worker_writes_events_before_rqs_records() -> None:
    """And an MGET over several slots becomes a GET a key."""
    commands: list[Command] = [
        ("SET", RQ_KEY, 1),
        ("SET", KEYS["b"], 2),
        ("MGET", KEYS["a"], KEYS["b"]),
    ]
    steps = invocations_first(commands, RQ_SLOTS)
    found = [{node: [part.command for part in parts] for node, parts in s.items()} for s in steps]
    assert found == [
        {
            ("b", 1): [("SET", "{b}", 2), ("GET", "{b}")],
            ("a", 1): [("GET", "{a}")],
        },
        {("r", 1): [("SET", RQ_KEY, 1)]},
    ]


class Nodes:
    """Three nodes that answer what they are told to, and note what they were asked."""

    def __init__(self, **replies: Reply) -> None:
        self.replies = replies
        self.asked: list[NodeBatch] = []

    def send(self, batch: NodeBatch) -> list[Reply]:
        self.asked.append(batch)
        host = batch.node[0]
        if host == "down":
            raise RedisConnectionLostError("down")
        if batch.commands == [("CLUSTER", "SLOTS")]:
            return [[[0, 16383, [b"a", 1, b"id"]]]]
        return [self.replies.get(host, b"ok") for _ in batch.commands]


URL = "redis+cluster://down:1,a:1"
GETS: list[Command] = [("GET", "{a}"), ("GET", "{b}")]


@pytest.fixture
def router(monkeypatch: pytest.MonkeyPatch) -> ClusterRouter:
    monkeypatch.setattr("invokeq.protocol.redis.address.RQ_KEY_PREFIX", "{rq}")
    return ClusterRouter(parse_address(URL))


def exchange(router: ClusterRouter, nodes: Nodes) -> list[Reply]:
    return drive_blocking(
        router.exchange(GETS, lambda slots: interleave_by_node(GETS, (), slots)), nodes.send
    )


def test_slots_are_asked_of_the_first_node_that_answers_and_only_once(
    router: ClusterRouter,
) -> None:
    nodes = Nodes()
    assert exchange(router, nodes) == exchange(router, nodes) == [b"ok", b"ok"]
    assert [batch.node[0] for batch in nodes.asked] == ["down", "a", "a", "a"]


def test_a_redirected_command_is_asked_of_the_importing_node_once(router: ClusterRouter) -> None:
    nodes = Nodes(a=AskError("5 c:7"))
    assert exchange(router, nodes) == [b"ok", b"ok"]
    asking = [("ASKING",), GETS[0], ("ASKING",), GETS[1]]
    assert nodes.asked[-1] == NodeBatch(("c", 7), asking)


def test_a_slot_that_moved_ends_the_exchange_and_the_map(router: ClusterRouter) -> None:
    nodes = Nodes(a=MovedError("5 c:7"))
    with pytest.raises(RedisConnectionLostError, match="the cluster says"):
        exchange(router, nodes)
    nodes.replies.clear()
    nodes.asked.clear()
    assert exchange(router, nodes) == [b"ok", b"ok"]
    assert nodes.asked[0].commands == [("CLUSTER", "SLOTS")]


def test_a_servers_error_stands_in_place_of_its_reply(router: ClusterRouter) -> None:
    error = ResponseError("WRONGTYPE")
    assert exchange(router, Nodes(a=error)) == [error, error]


async def test_asyncio_finds_the_same(router: ClusterRouter) -> None:
    nodes = Nodes(a=AskError("5 c:7"))

    async def send(batch: NodeBatch) -> list[Reply]:
        return nodes.send(batch)

    arranged = router.exchange(GETS, lambda slots: invocations_first(GETS, slots))
    assert await drive(arranged, send) == [b"ok", b"ok"]
    assert nodes.asked[-1].node == ("c", 7)


def test_no_node_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("invokeq.protocol.redis.address.RQ_KEY_PREFIX", "{rq}")
    alone = ClusterRouter(parse_address("redis+cluster://down:1"))
    with pytest.raises(RedisConnectionLostError, match="down"):
        exchange(alone, Nodes())
