"""A deadline that passed, as every reader is told of it: one typed error for one event."""

import pytest

from invokeq.dify.reverse.errors import error_args, error_text
from invokeq.errors import DeadlineExceededError, InvocationTimeoutError
from invokeq.protocol import events
from invokeq.protocol.entities import LLMModelConfig, LLMUsage, UserPromptMessage
from invokeq.protocol.errors import error_from_wire
from invokeq.protocol.events import Event, EventId, EventKind
from invokeq.results.decode import error_of
from invokeq.testing import FakeSession

USAGE = LLMUsage.empty_usage().model_dump(mode="json") | {"prompt_tokens": 3, "estimated": True}
STAGE = "while the model answered"
CONFIG = LLMModelConfig(provider="any", model="thing", mode="chat")


def cancelled(**fields: object) -> Event:
    payload = events.cancelled("deadline", USAGE, STAGE)
    entry = {b"k": b"cancelled", b"d": payload}
    (event,) = events.unpack(b"2-7", entry)
    return event._replace(data={**event.data, **fields})


def test_a_deadline_is_an_error_of_its_own() -> None:
    """Fails when `error_of` makes InvocationCancelledError of every reason: tried."""
    error = error_of(cancelled())
    assert isinstance(error, DeadlineExceededError)
    assert (str(error), error.attempt) == (f"The deadline passed {STAGE}", 2)
    assert error.usage == USAGE
    again = error_from_wire(error.to_wire())
    assert isinstance(again, DeadlineExceededError)
    assert again.usage == USAGE


def test_others_have_no_stage() -> None:
    payload = events.cancelled("caller", USAGE)
    assert b"stage" not in payload
    (event,) = events.unpack(b"1-1", {b"k": b"cancelled", b"d": payload})
    assert error_of(event).code == "cancelled"


def test_plugins_are_told_of_a_wait_that_was_too_long() -> None:
    error = error_of(cancelled())
    error.request_id = "ab" * 16
    told = error_args(error)
    assert (told["error_type"], told["args"]["code"]) == (
        "InvokeConnectionError",
        "deadline_exceeded",
    )
    assert error_text(error).endswith(f"[deadline_exceeded, request {'ab' * 16}]")


def test_a_fake_session_ends_as_a_worker_does() -> None:
    """Fails when the fake writes `failed` for every error: tried."""
    session = FakeSession()
    session.model.llm.answers(DeadlineExceededError(stage=STAGE, usage=USAGE))
    invocation = session.model.llm.submit(CONFIG, [UserPromptMessage(content="x")])
    with pytest.raises(InvocationTimeoutError, match=STAGE) as caught:
        invocation.result()
    assert isinstance(caught.value, DeadlineExceededError)
    assert caught.value.usage == USAGE
    assert invocation.status().state == "cancelled"
    assert invocation.last_id == str(EventId(1, 0))
    assert EventKind.CANCELLED in events.TERMINAL
