"""A program of a caller: prints what came of translations as JSON. Arguments: the Redis URL."""

import asyncio
import json
import sys

from invokeq import AsyncSession, Session
from invokeq.errors import InvokeqError
from invokeq.testing import FakeAsyncSession, FakeSession

GOOD_DAY = ("dictionary", "pocket", "good day")


def ask(url: str) -> dict[str, object]:
    """Translate with a blocking session."""
    found: dict[str, object] = {}
    with Session("acme", "tenant-1", redis=url) as session:
        translation = session.model.of("translation")
        found["sync"] = translation.invoke(*GOOD_DAY, "de")
        calls = [translation.prepare(*GOOD_DAY, target) for target in ("fr", "de")]
        found["many"] = [handle.result() for handle in session.submit_many(calls)]
        for name, call in {
            "refused": (*GOOD_DAY, "xx"),
            "wrong provider": ("scripted", "echo", "good day", "de"),
        }.items():
            try:
                found[name] = translation.invoke(*call)
            except InvokeqError as error:
                found[name] = [error.code, str(error)]
    return found


async def ask_async(url: str) -> str:
    """Translate with an asyncio session."""
    async with AsyncSession("acme", "tenant-1", redis=url) as session:
        return await session.model.of("translation").invoke(*GOOD_DAY, "fr")


def ask_fake() -> list[object]:
    """Translate with a fake session."""
    with FakeSession() as session:
        translation = session.model.of("translation")
        translation.answers("bonne journée")
        text = translation.invoke(*GOOD_DAY, "fr")
        return [text, [call.target for call in translation.calls]]


async def ask_async_fake() -> str:
    """Translate with a fake asyncio session."""
    async with FakeAsyncSession() as session:
        session.model.of("translation").answers("schönen Tag")
        return await session.model.of("translation").invoke(*GOOD_DAY, "de")


if __name__ == "__main__":
    url = sys.argv[1]
    found = {**ask(url), "async": asyncio.run(ask_async(url))}
    found |= {"fake": ask_fake(), "async fake": asyncio.run(ask_async_fake())}
    sys.stdout.write(json.dumps(found))
