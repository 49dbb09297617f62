"""Where an invocation stands, made of what RQ's books and its stream say."""

from typing import Any

import pytest

from invokeq.operations import control
from invokeq.operations.control import InvocationStatus
from invokeq.protocol import events
from invokeq.protocol.events import EventKind

RID = "ab" * 16
STARTED = [b"started", b"llm:acme", b"2", b"w1", None, None, None]


def status(entry_id: str, fields: list[bytes]) -> InvocationStatus:
    plan = control.status(RID)
    next(plan)
    replies: list[Any] = [STARTED, [[entry_id.encode(), fields]]]
    try:
        plan.send(replies)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("asks for more")


@pytest.mark.parametrize(
    ("entry_id", "kind", "data", "state"),
    [
        ("2-7", EventKind.DONE, events.done(None), "done"),
        ("2-7", EventKind.FAILED, events.failed({}), "failed"),
        ("2-7", EventKind.CANCELLED, events.cancelled("caller"), "cancelled"),
        ("2-7", EventKind.STARTED, events.started("w1", 1.0), "running"),
        ("1-7", EventKind.DONE, events.done(None), "running"),  # an attempt before it
        ("2-7", EventKind.DONE, b"spoilt", "running"),
    ],
)
def test_the_last_event_says_it_before_the_books_do(
    entry_id: str, kind: EventKind, data: bytes, state: str
) -> None:
    """Fails when only the books are asked, which on a cluster are closed a moment later."""
    assert status(entry_id, [b"k", kind.value.encode(), b"d", data]).state == state


def test_what_a_plugin_wrote_into_its_job_breaks_nothing() -> None:
    """Fails when fields are decoded strictly: an operator could not look at such a job."""
    plan = control.status(RID)
    next(plan)
    odd = [b"started", b"\xff", b"many", b"\xfe", b"soon", b"2026-11-22T10:00:00", b"\xff"]
    with pytest.raises(StopIteration) as stop:
        plan.send([odd, []])
    found: InvocationStatus = stop.value.value
    assert (found.lane, found.attempt, found.worker) == ("\ufffd", 0, "\ufffd")
    assert (found.enqueued_at, found.started_at, found.ended_at) == (None, None, None)


def test_a_job_with_odd_fields_can_be_cancelled() -> None:
    plan = control.cancel(RID)
    next(plan)
    batch = plan.send([[b"llm:\xff", b"9" * 30, b"queued", None]])
    assert batch.commands[0][0] == "LREM"
    end = plan.send([1, b"OK", 0])
    assert end.commands[0][2] == "1-0"
