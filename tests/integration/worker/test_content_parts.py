"""Content parts through a real server, a real worker, and every way to ask."""

import json
from typing import Any

import pytest

from invokeq import AsyncSession, Session
from invokeq.protocol.entities import LLMResult
from tests.integration.conftest import user
from tests.support.content_parts import PARTS

pytestmark = pytest.mark.usefixtures("worker")

CONFIG: dict[str, Any] = {
    "provider": "scripted",
    "model": "echo",
    "mode": "chat",
    "completion_params": {"parts": json.dumps(list(PARTS.values()))},
}


def check(content: Any) -> None:
    assert [part.type.value for part in content[:5]] == list(PARTS)
    for part, sent in zip(content, PARTS.values(), strict=False):
        dumped = part.model_dump(mode="json")
        assert {name: dumped[name] for name in sent} == sent
    assert "".join(part.data for part in content[5:]) == "and words"


def test_every_part_arrives_in_a_stream(session: Session) -> None:
    contents = [
        c.delta.message.content for c in session.model.llm.invoke(CONFIG, user("and words"))
    ]
    parts = [part for content in contents if isinstance(content, list) for part in content]
    text = "".join(content for content in contents if isinstance(content, str))
    assert [part.type.value for part in parts] == list(PARTS)
    assert text == "and words"


@pytest.mark.parametrize("stream", [True, False])
def test_every_part_is_in_the_result(session: Session, stream: bool) -> None:
    if stream:
        with session.model.llm.submit(CONFIG, user("and words")) as invocation:
            result = invocation.result()
    else:
        result = session.model.llm.invoke(CONFIG, user("and words"), stream=False)
    assert isinstance(result, LLMResult)
    check(result.message.content)


async def test_every_part_is_in_the_result_of_an_async_call(redis_url: str) -> None:
    async with AsyncSession("acme", redis=redis_url) as session:
        result = await session.model.llm.invoke(CONFIG, user("and words"), stream=False)
    assert isinstance(result, LLMResult)
    check(result.message.content)
