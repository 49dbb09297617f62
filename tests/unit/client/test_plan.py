"""Plans carried out side by side, without any I/O."""

from typing import Any

import pytest

from invokeq.operations.plan import Plan, gather_plans
from invokeq.protocol.errors import InvalidRequestError, InvokeqError
from invokeq.protocol.redis.resp import Reply
from invokeq.transport.batch import Batch


def echo(name: str, trips: int) -> Plan[list[Reply]]:
    """Echo n messages in round trip n, and return all replies."""
    heard: list[Reply] = []
    for trip in range(1, trips + 1):
        heard += yield Batch([("ECHO", f"{name}{trip}.{i}") for i in range(trip)])
    return heard


def failing(after: int) -> Plan[list[Reply]]:
    yield from echo("bad", after)
    raise InvalidRequestError(field="text", problem="must not be empty")


def carry_out(plan: Plan[Any]) -> tuple[list[list[str]], Any]:
    """Return the messages of each round trip, and the result of the plan."""
    trips: list[list[str]] = []
    replies: list[Reply] | None = None
    try:
        while True:
            batch = next(plan) if replies is None else plan.send(replies)
            replies = [command[1] for command in batch.commands]
            trips.append(replies)
    except StopIteration as stop:
        return trips, stop.value


def test_each_round_trip_is_the_next_of_all() -> None:
    trips, outcomes = carry_out(
        gather_plans([echo("a", 2), echo("b", 1), echo("c", 3), echo("d", 0)])
    )
    assert trips == [
        ["a1.0", "b1.0", "c1.0"],
        ["a2.0", "a2.1", "c2.0", "c2.1"],
        ["c3.0", "c3.1", "c3.2"],
    ]
    assert outcomes == [
        ["a1.0", "a2.0", "a2.1"],
        ["b1.0"],
        ["c1.0", "c2.0", "c2.1", "c3.0", "c3.1", "c3.2"],
        [],
    ]


def test_a_plan_that_fails_leaves_the_others_alone() -> None:
    _, (good, bad, also_bad) = carry_out(gather_plans([echo("a", 2), failing(0), failing(1)]))
    assert good == ["a1.0", "a2.0", "a2.1"]
    assert isinstance(bad, InvokeqError)
    assert isinstance(also_bad, InvokeqError)


def test_a_fault_of_a_plan_ends_all() -> None:
    def broken() -> Plan[list[Reply]]:
        yield Batch([("ECHO", "x")])
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        carry_out(gather_plans([echo("a", 2), broken()]))


def test_nothing_to_do_is_done_at_once() -> None:
    assert carry_out(gather_plans([])) == ([], [])
