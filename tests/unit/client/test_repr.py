"""What a session and an invocation look like in a debugger or a log."""

import pytest

from invokeq import AsyncSession, Session
from invokeq.testing import FakeSession

URLS = [
    "redis://user:s3cret@127.0.0.1:1/3",
    "rediss://:s3cret@127.0.0.1:1/3?password=s3cret",
    "redis+sentinel://user:s3cret@127.0.0.1:1/main?sentinel_password=s3cret",
]


@pytest.mark.parametrize("kind", [Session, AsyncSession])
@pytest.mark.parametrize("url", URLS)
def test_a_session_shows_its_sender_and_no_password(
    kind: type[Session | AsyncSession], url: str
) -> None:
    shown = repr(kind("acme", "t1", redis=url))
    assert shown.startswith(f"{kind.__name__}('acme', tenant_id='t1', user_id=None, redis='redis")
    assert "127.0.0.1:1" in shown
    assert "s3cret" not in shown
    assert "user:" not in shown


def test_an_invocation_shows_its_id_and_how_far_it_was_read() -> None:
    session = FakeSession()
    session.model.moderation.answers(True)
    invocation = session.model.moderation.submit({"provider": "p", "model": "m"}, "x")
    rid = invocation.request_id
    assert repr(invocation) == f"<Invocation {rid}, open after 0-0>"
    invocation.result()
    assert repr(invocation) == f"<Invocation {rid}, ended after 1-2>"
    assert repr(session.attach(rid)) == f"<Invocation {rid}, open after 0-0, detached>"


def test_the_older_name_of_on_behalf_of_still_works() -> None:
    assert "'acme'" in repr(Session("gate").speaking_for("acme"))
