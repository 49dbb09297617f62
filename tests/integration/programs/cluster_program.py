"""Run every kind of call on a cluster and print the results; needs RQ_KEY_PREFIX='{rq}'.

A separate process, because RQ reads the key prefix at import.
"""

import asyncio
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

import orjson
import redis

from invokeq import AsyncSession, Session
from invokeq.errors import InvocationCancelledError, WorkerLostError
from invokeq.protocol.redis import keys
from invokeq.protocol.redis.resp import Reply
from invokeq.protocol.redis.slots import key_slot
from invokeq.protocol.requests import new_request_id
from invokeq.transport.batch import Batch
from invokeq.transport.blocking import Transport
from tests.integration.conftest import stream_config, user
from tests.support.processes.worker import running_worker
from tests.support.waiting import eventually

STREAMS = 20
CALLS = 256
PLAN = stream_config(chunks=50, rate=100)
ECHO = {"provider": "scripted", "model": "echo"}


def read(session: Session) -> int:
    return len({chunk.model_dump_json() for chunk in session.model.llm.invoke(PLAN, user("x"))})


async def read_async(url: str) -> list[int]:
    async with AsyncSession("acme", redis=url) as session:

        async def one() -> int:
            chunks = [c.model_dump_json() async for c in session.model.llm.invoke(PLAN, user("x"))]
            return len(set(chunks))

        return await asyncio.gather(*(one() for _ in range(STREAMS)))


def submit_many(session: Session) -> dict[str, Any]:
    """Submit a group: all jobs are in one slot, each lease in a slot of its own."""
    exchanges: list[int] = []
    once = Transport.once

    def counted(transport: Transport, batch: Batch) -> list[Reply]:
        exchanges.append(len(batch.commands))
        return once(transport, batch)

    calls = [session.model.llm.prepare(ECHO, user(f"text {n}")) for n in range(CALLS)]
    with patch.object(Transport, "once", counted):
        submitted = session.submit_many(calls)
        count = len(exchanges)
    texts = [each.result().message.content for each in submitted]
    return {"right": texts == [f"text {n}" for n in range(CALLS)], "exchanges": count}


def cancelled(session: Session) -> str:
    running = session.model.llm.submit(stream_config(hang_after=1), user("x"))
    items = iter(running)
    next(items)
    state = running.status().state
    running.cancel()
    try:
        list(items)
    except InvocationCancelledError as error:
        return f"{state}, {error.reason}"
    return "not cancelled"


def read_while_moving(session: Session, replicas: list[str]) -> list[int]:
    """Make every replica the master while streams run."""
    taken = [0] * STREAMS
    plan = stream_config(chunks=200, rate=50)

    def one(number: int) -> int:
        seen: set[str] = set()
        for chunk in session.model.llm.invoke(plan, user("x")):
            seen.add(chunk.model_dump_json())
            taken[number] += 1
        return len(seen)

    with ThreadPoolExecutor(STREAMS) as threads:
        results = [threads.submit(one, number) for number in range(STREAMS)]
        eventually("all have begun", lambda: min(taken) > 0)
        for replica in replicas:
            with redis.Redis.from_url(replica, protocol=2) as client:
                client.execute_command("CLUSTER", "FAILOVER")
                eventually("it is master", lambda c=client: c.role()[0] == b"master")
        assert max(taken) < 200
        return [result.result(60) for result in results]


def read_from_a_slot_that_moves(session: Session, masters: list[str]) -> int:
    """Read a stream while its slot migrates; the target node has the new keys."""
    rid = new_request_id()
    slot = key_slot(keys.events(rid))
    clients = [redis.Redis.from_url(url, protocol=2) for url in masters]
    ids: list[Any] = [client.execute_command("CLUSTER MYID") for client in clients]
    slots: list[Any] = cast(Any, clients[0].execute_command("CLUSTER", "SLOTS"))
    owner: Any = next(part[2][2] for part in slots if part[0] <= slot <= part[1])
    source = ids.index(owner)
    target = (source + 1) % len(masters)
    clients[target].execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source])
    clients[source].execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target])
    return len(list(session.model.llm.submit(PLAN, user("x"), request_id=rid)))


def main(url: str, directory: Path, masters: list[str], replicas: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    with running_worker(url, directory, queues=("llm", "text-embedding")) as worker:
        with Session("acme", redis=url) as session, ThreadPoolExecutor(STREAMS) as threads:
            found["sync"] = list(threads.map(read, [session] * STREAMS))
            found["async"] = asyncio.run(read_async(url))
            large = session.model.llm.invoke(ECHO, user("x" * 2_000_000), stream=False)
            found["large"] = len(str(large.message.content))
            vectors = session.model.text_embedding.invoke(
                {"provider": "scripted", "model": "hash"}, ["one", "two"]
            )
            found["vectors"] = len(vectors.embeddings)
            found["many"] = submit_many(session)
            found["cancelled"] = cancelled(session)
            detached = session.model.llm.submit(PLAN, user("x"), detached=True)
            found["attached"] = len(list(session.attach(detached.request_id)))
            found["asked"] = read_from_a_slot_that_moves(session, masters)
            found["moved"] = read_while_moving(session, replicas)
            lost = session.model.llm.submit(stream_config(hang_after=1), user("x"))
            items = iter(lost)
            next(items)
            with running_worker(url, directory, name="heir"):
                worker.process.send_signal(signal.SIGKILL)
                try:
                    list(items)
                except WorkerLostError as error:
                    found["lost"] = error.events
                found["after"] = read(session)
        eventually("it is dead", lambda: worker.process.poll() is not None)
    return found


if __name__ == "__main__":
    result = main(sys.argv[1], Path(sys.argv[2]), *orjson.loads(sys.argv[3]))
    sys.stdout.write(orjson.dumps(result).decode() + "\n")
