"""Push many calls into lanes: all calls, or none.

Calls go in groups; a group takes as many round trips as a single call. Calls of one group in one
lane wake a worker once, with the last of the calls.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeVar

from invokeq.operations import control
from invokeq.operations.call import Call
from invokeq.operations.directory import Directory
from invokeq.operations.enqueue import (
    PendingJob,
    SubmitResult,
    choose_lane,
    claim_request_id,
    push_job,
    withdraw_job,
)
from invokeq.operations.options import SessionOptions
from invokeq.operations.plan import Plan, gather_plans
from invokeq.protocol.errors import InvokeqError

GROUP_CALLS: Final = 256
"""Calls in one write; more would gain little, and keep the server from others for longer."""

GROUP_BYTES: Final = 4 * 1024 * 1024
"""Bytes of requests and files in one write; a larger call goes alone."""

T = TypeVar("T")


def submit_many(
    session: SessionOptions,
    directory: Directory,
    calls: Sequence[Call[Any, Any]],
    entered: list[PendingJob],
) -> Plan[list[SubmitResult]]:
    """Submit calls in order; return the result of each.

    One round trip a group; one more when the directory is over a second old, one more for a group
    with request ids of the caller. When a call is refused, or the broker fails, all submitted calls
    are withdrawn, and the first error is raised: see `_withdraw_all`. `entered` receives the jobs
    that may be in their lanes, for a caller whose submission is interrupted.
    """
    entries: list[PendingJob] = []
    for call in calls:  # a call that no worker serves is found before anything is sent
        entry = yield from choose_lane(session, directory, call)
        entries.append(entry)
    submitted: list[SubmitResult] = []
    try:
        for group in _groups(entries):
            taken = yield from _all_of([claim_request_id(entry) for entry in group])
            fresh = [entry for entry, ours in zip(group, taken, strict=True) if ours]
            before = len(entered)
            # Race: when the connection breaks, the server may have executed the push all the same.
            # So from here on every job of the group counts as pushed.
            entered += fresh
            last = {entry.admitted.lane: entry for entry in fresh}.values()
            waking = {entry.request_id for entry in last}
            outcomes = yield from gather_plans(
                [push_job(session, directory, e, wakes=e.request_id in waking) for e in fresh]
            )
            entered[before:] = [e for e, error in zip(fresh, outcomes, strict=True) if not error]
            _all(outcomes)
            submitted += [e.submitted(ours) for e, ours in zip(group, taken, strict=True)]
    except InvokeqError as error:
        yield from _withdraw_all(directory, entered, error)
        raise
    return submitted


def _withdraw_all(
    directory: Directory, entries: list[PendingJob], error: InvokeqError
) -> Plan[None]:
    """Withdraw pushed jobs; cancel the jobs already claimed by a worker.

    A withdrawn job leaves no key behind, and the request id is free again. `taken_back` of the
    error counts withdrawn and cancelled jobs. `taken_back` is None if the broker cannot be reached:
    then the jobs lapse with the leases.
    """
    error.taken_back = None
    count = 0
    try:
        for group in _groups(entries):
            taken = yield from _all_of([withdraw_job(directory, entry) for entry in group])
            claimed = [e.request_id for e, back in zip(group, taken, strict=True) if not back]
            stopped = yield from _all_of([control.cancel(rid) for rid in claimed])
            count += sum(taken) + sum(stopped)
    except InvokeqError as problem:
        error.add_note(f"What was submitted could not be taken back: {problem}")
        return
    entries.clear()
    note_withdrawn(error, count)


def note_withdrawn(error: InvokeqError, count: int) -> None:
    """Add to an error how many calls were withdrawn because of the error."""
    error.taken_back = count
    error.add_note(f"{count} calls that were submitted together with it have been taken back.")


def _groups(entries: Sequence[PendingJob]) -> Iterator[Sequence[PendingJob]]:
    """Split jobs, in order, into groups within the bounds; a job over the bounds is alone."""
    start = size = 0
    for at, entry in enumerate(entries):
        if at > start and (at - start == GROUP_CALLS or size + entry.call.size > GROUP_BYTES):
            yield entries[start:at]
            start, size = at, 0
        size += entry.call.size
    if start < len(entries):
        yield entries[start:]


def _all_of(plans: Sequence[Plan[T]]) -> Plan[list[T]]:
    """Run plans in the same round trips; raise the first error once all have ended."""
    return _all((yield from gather_plans(plans)))


def _all(outcomes: Sequence[T | InvokeqError]) -> list[T]:
    """Return the outcomes, or raise the first error among the outcomes."""
    good: list[T] = []
    for outcome in outcomes:
        if isinstance(outcome, InvokeqError):
            raise outcome
        good.append(outcome)
    return good
