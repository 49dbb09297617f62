"""Large requests are decoded in slices, and come out as if they had been decoded at once."""

import asyncio
from typing import Any

import orjson
import pytest

from invokeq.protocol import codec
from invokeq.protocol.errors import InvalidRequestError
from invokeq_worker.attempts.decoding import decode_request


def conversation(messages: int, **changes: Any) -> dict[str, Any]:
    texts = [{"role": "user", "content": f"message {n} " + "x" * 100} for n in range(messages)]
    return {"kind": "llm", "provider": "p", "model": "m", "prompt_messages": texts, **changes}


async def outcome(payload: bytes) -> tuple[object, object]:
    """What comes of a payload in slices, and what comes of it at once."""
    found: list[object] = []
    for decoded in (decode_request, _at_once):
        try:
            found.append(await decoded(payload))
        except InvalidRequestError as error:
            found.append((error.field, error.problem))
    return found[0], found[1]


async def _at_once(payload: bytes) -> object:
    return codec.decode_request(payload)


async def test_others_run_while_a_long_conversation_is_decoded() -> None:
    """Without the slices nobody does."""
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    turning = asyncio.create_task(turn())
    await decode_request(orjson.dumps(conversation(5000)))
    turning.cancel()
    assert turns >= 9


@pytest.mark.parametrize(
    "request_of",
    [
        conversation(5000),
        conversation(1, prompt_messages=[{"role": "user", "content": "x" * 300_000}]),
        conversation(
            5000, kind="llm_structured_output", structured_output_schema={"type": "object"}
        ),
        {"kind": "system_summary", "text": "x" * 300_000},
        {
            "kind": "rerank",
            "provider": "p",
            "model": "m",
            "query": "q",
            "docs": ["d" * 1000] * 300,
        },
    ],
)
async def test_it_is_the_same_request(request_of: dict[str, Any]) -> None:
    sliced, at_once = await outcome(orjson.dumps(request_of))
    assert sliced == at_once
    assert not isinstance(sliced, tuple)


def _broken(place: int, message: object) -> dict[str, Any]:
    request = conversation(3000)
    request["prompt_messages"][place] = message
    return request


@pytest.mark.parametrize(
    "payload",
    [
        orjson.dumps(_broken(1234, {"role": "user", "content": 5})),
        orjson.dumps(_broken(2999, {"role": "nobody", "content": "x"})),
        orjson.dumps(_broken(0, "text")),
        orjson.dumps(conversation(3000, model="")),
        orjson.dumps(conversation(3000, strange=1)),
        orjson.dumps(conversation(0, prompt_messages="x" * 300_000)),
        orjson.dumps(conversation(0, prompt_messages=[], mode="x" * 300_000)),
        orjson.dumps(["x" * 300_000]),
        b'{"kind": "llm", ' + b" " * 300_000,
    ],
)
async def test_a_fault_is_found_at_the_same_place(payload: bytes) -> None:
    sliced, at_once = await outcome(payload)
    assert sliced == at_once
    assert isinstance(sliced, tuple)
