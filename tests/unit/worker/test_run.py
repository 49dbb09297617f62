"""A run without Redis: what it leaves behind in the process."""

import asyncio
import gc
from collections.abc import Sequence
from typing import Any

from invokeq.operations.call import build_call
from invokeq.operations.options import CallOptions, SessionOptions
from invokeq.protocol import codec
from invokeq.protocol.entities import LLMModelConfig, UserPromptMessage
from invokeq.protocol.redis.resp import Command, Reply
from invokeq.protocol.requests import Envelope
from invokeq.requests.llm import build_llm_request
from invokeq.results.decode import llm_decoder
from invokeq.transport.connection import RedisConnection
from invokeq_providers.scripted import ScriptedProvider
from invokeq_worker.attempts.context import BodyFetcher, RunContext
from invokeq_worker.attempts.finalize import Attempt, Finalizer
from invokeq_worker.attempts.run import Run
from invokeq_worker.config.permissions import Permissions
from invokeq_worker.config.values import Retention, Window
from invokeq_worker.redis.scripts import Claimed
from invokeq_worker.streams.writer import Writer

RID = "ab" * 16
RUNS = 20


class _Taking(RedisConnection):
    """Takes every batch."""

    def __init__(self) -> None:
        pass

    async def exchange(self, commands: Sequence[Command], timeout: float) -> list[Reply]:
        del timeout
        return [b"1-0" for _ in commands]


def _data(**plan: Any) -> bytes:
    config = LLMModelConfig(
        provider="scripted", model="stream", mode="chat", completion_params=plan
    )
    request = build_llm_request(config, [UserPromptMessage(content="x")], None, None, True)
    call = build_call(SessionOptions("acme"), request, CallOptions(), llm_decoder(request))
    envelope = Envelope(request_id=RID, plugin_id="acme")
    return codec.encode(envelope, call.payload).job_data


async def _run(data: bytes) -> None:
    """Execute a run as the worker does: in a task that it knows, until its job is finalized."""
    connection = _Taking()
    writer = Writer(connection, "w", Window())
    context = RunContext(
        worker="w",
        providers={"scripted": ScriptedProvider("scripted", {})},
        writer=writer,
        bodies=BodyFetcher(connection),
        finalizer=Finalizer("w", writer, Retention(600, 600, 600), lambda _: None),
        wait_for_reader=_never,
        provider_silence=60.0,
        trusted=(),
        permissions=Permissions({}, serve_unknown=True),
        summary_model_of=lambda _: None,
    )
    writing = asyncio.create_task(writer.run())
    for _ in range(RUNS):
        run = Run(Claimed("llm:acme", RID, "cd" * 16, 1, False, data), context)
        run.task = asyncio.create_task(run.execute())
        await run.task
        await writer.flushed()
    writing.cancel()


async def _never(_: Attempt) -> None:
    await asyncio.get_running_loop().create_future()


def _garbage_of(data: bytes) -> list[object]:
    asyncio.run(_run(data))  # what only the first one makes
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        asyncio.run(_run(data))
        gc.collect()
        return [thing for thing in gc.garbage if isinstance(thing, Run)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()


def test_a_run_needs_no_garbage_collector() -> None:
    """Fails when a run stays reachable from what it made; collecting cost a sixth of a worker's
    time."""
    assert _garbage_of(_data(chunks=3)) == []
