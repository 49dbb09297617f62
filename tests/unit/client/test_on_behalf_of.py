"""Sessions of other senders, for programs that serve many plugins."""

from typing import Any

import pytest

from invokeq import AsyncSession, Session
from invokeq.errors import InvalidRequestError
from invokeq.operations.options import SessionOptions
from invokeq.session_base import BaseSession, parts_of
from invokeq.testing import FakeAsyncSession, FakeSession

NOWHERE = "redis://127.0.0.1:1/0"


@pytest.mark.parametrize(
    "session", [Session("gate", redis=NOWHERE), AsyncSession("gate", redis=NOWHERE)]
)
def test_the_sender_is_another_and_the_rest_is_shared(session: BaseSession[Any, Any]) -> None:
    spoken = session.on_behalf_of("acme", "t", "u")
    assert type(spoken) is type(session)
    options = parts_of(spoken).options
    assert (options.plugin_id, options.tenant_id, options.user_id) == ("acme", "t", "u")
    assert parts_of(spoken).transport is parts_of(session).transport
    assert parts_of(spoken).directory is parts_of(session).directory
    assert spoken.model is not session.model
    assert parts_of(session).options.plugin_id == "gate"
    with pytest.raises(InvalidRequestError, match="plugin_id"):
        session.on_behalf_of("a b")


def test_the_lane_stays_that_of_the_first() -> None:
    options = SessionOptions("gate").on_behalf_of("acme", None, None).on_behalf_of("b", None, None)
    assert (options.plugin_id, options.lane) == ("b", "gate")


def test_a_fake_session_speaks_for_others_too() -> None:
    session = FakeSession("gate")
    spoken = session.on_behalf_of("acme")
    spoken.model.moderation.answers(True)
    model = {"provider": "p", "model": "m"}
    assert spoken.model.moderation.invoke(model, "a") is True
    assert len(session.calls) == 1


def test_a_fake_asyncio_session_does_as_well() -> None:
    assert parts_of(FakeAsyncSession("gate").on_behalf_of("acme")).options.lane == "gate"
