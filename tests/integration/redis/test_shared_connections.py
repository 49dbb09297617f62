"""An AsyncSession's few connections: what a thousand readers share, and what they don't."""

import asyncio
from collections.abc import AsyncIterator, Collection

import pytest
import redis
from redis.exceptions import ResponseError

from invokeq.transport.batch import RedisConnectionLostError, StreamWait
from invokeq.transport.connect import make_async_pool
from invokeq.transport.connection import RedisConnection
from invokeq.transport.settings import REPLY_TIMEOUT, Timeouts
from invokeq.transport.shared_connection import SharedConnection
from invokeq.transport.stream_multiplexer import KEPT, StreamMultiplexer
from tests.support.waiting import eventually_async

pytestmark = pytest.mark.one_server("a Line or a Follower has connections to one server")

LONG = 30_000


@pytest.fixture
def permanent_keys() -> Collection[str]:
    """The streams here are the tests' own."""
    return ("s*", "n")


def connection_to(url: str) -> RedisConnection:
    """Return a connection as an AsyncSession makes one."""
    return RedisConnection(make_async_pool(url, Timeouts(5.0, REPLY_TIMEOUT)))


@pytest.fixture
async def follower(redis_url: str) -> AsyncIterator[StreamMultiplexer]:
    opened = StreamMultiplexer(connection_to(redis_url), REPLY_TIMEOUT)
    yield opened
    await opened.close()


@pytest.fixture
async def line(redis_url: str) -> AsyncIterator[SharedConnection]:
    opened = SharedConnection(connection_to(redis_url), REPLY_TIMEOUT)
    yield opened
    await opened.close()


def waiting(follower: StreamMultiplexer, stream: str, after: str = "0-0") -> asyncio.Task[object]:
    """Begin to wait for one stream."""
    return asyncio.create_task(follower.wait(StreamWait(stream, after, 10, LONG)))


def connections(client: redis.Redis) -> int:
    return len(client.client_list())


def blocked(client: redis.Redis) -> int:
    return int(client.info("clients")["blocked_clients"])


async def test_many_streams_are_waited_for_over_one_connection(
    follower: StreamMultiplexer, redis_client: redis.Redis
) -> None:
    before = connections(redis_client)
    waits = [waiting(follower, f"s{i}") for i in range(300)]
    await eventually_async("the wait is at the server", lambda: blocked(redis_client))
    assert connections(redis_client) <= before + 1
    with redis_client.pipeline(transaction=True) as pipeline:
        for i in range(300):
            pipeline.xadd(f"s{i}", {"n": i}, id="1-0")
        pipeline.execute()
    for i, reply in enumerate(await asyncio.gather(*waits)):
        assert reply == [[b"s%d" % i, [[b"1-0", [b"n", b"%d" % i]]]]]


async def test_who_comes_late_does_not_wait_for_the_others(
    follower: StreamMultiplexer, redis_client: redis.Redis
) -> None:
    early = waiting(follower, "s1")
    await eventually_async("the wait is at the server", lambda: blocked(redis_client) == 1)
    late = waiting(follower, "s2")
    await eventually_async("the other one, too", lambda: blocked(redis_client) == 2)
    redis_client.xadd("s2", {"n": 1})
    assert await late
    assert not early.done()
    redis_client.xadd("s1", {"n": 1})
    assert await early


async def test_connections_that_nobody_needs_are_closed(
    follower: StreamMultiplexer, redis_client: redis.Redis
) -> None:
    before = connections(redis_client)
    waits: list[asyncio.Task[object]] = []
    for i in range(KEPT * 3):
        waits.append(waiting(follower, f"s{i}"))
        await eventually_async("it is at the server", lambda: blocked(redis_client) == len(waits))
    for i in range(KEPT * 3):
        redis_client.xadd(f"s{i}", {"n": 1})
    await asyncio.gather(*waits)
    most = before + KEPT
    await eventually_async("the others are closed", lambda: connections(redis_client) <= most)


async def test_each_reader_of_a_stream_has_a_place_of_its_own(
    follower: StreamMultiplexer, redis_client: redis.Redis
) -> None:
    for sequence in range(3):
        redis_client.xadd("s", {"n": sequence}, id=f"1-{sequence}")
    whole, rest = await asyncio.gather(waiting(follower, "s"), waiting(follower, "s", "1-1"))
    assert [entry[0] for entry in whole[0][1]] == [b"1-0", b"1-1", b"1-2"]  # type: ignore[index]
    assert [entry[0] for entry in rest[0][1]] == [b"1-2"]  # type: ignore[index]


async def test_an_error_is_told_to_the_one_it_is_for(
    follower: StreamMultiplexer, redis_client: redis.Redis
) -> None:
    redis_client.set("n", "not a stream")
    redis_client.xadd("s", {"n": 1})
    wrong, right = await asyncio.gather(waiting(follower, "n"), waiting(follower, "s"))
    assert isinstance(wrong, ResponseError)
    assert right


async def test_who_gives_up_disturbs_nobody(
    follower: StreamMultiplexer, redis_client: redis.Redis
) -> None:
    leaving, staying = waiting(follower, "s1"), waiting(follower, "s2")
    await eventually_async("both are at the server", lambda: blocked(redis_client) == 1)
    leaving.cancel()
    redis_client.xadd("s1", {"n": 1})
    redis_client.xadd("s2", {"n": 1})
    assert await staying


async def test_nothing_comes_before_its_time_is_up(follower: StreamMultiplexer) -> None:
    assert await follower.wait(StreamWait("s", "0-0", 10, 20)) is None


async def test_a_connection_that_breaks_is_told_to_all_who_wait(
    follower: StreamMultiplexer, redis_client: redis.Redis
) -> None:
    waits = [waiting(follower, f"s{i}") for i in range(3)]
    await eventually_async("they are at the server", lambda: blocked(redis_client) == 1)
    redis_client.client_kill_filter(_type="normal", skipme=True)
    broken = await asyncio.gather(*waits, return_exceptions=True)
    assert all(isinstance(error, RedisConnectionLostError) for error in broken)
    redis_client.xadd("s1", {"n": 1})
    assert await waiting(follower, "s1")


async def test_closing_ends_every_wait(
    follower: StreamMultiplexer, redis_client: redis.Redis
) -> None:
    waits = [waiting(follower, "s1"), waiting(follower, "s1", "0-1")]
    await eventually_async("both are at the server", lambda: blocked(redis_client) == 2)
    await follower.close()
    ended = await asyncio.gather(*waits, return_exceptions=True)
    assert all(isinstance(error, RedisConnectionLostError) for error in ended)


async def test_transactions_of_many_tasks_stay_in_one_piece(
    line: SharedConnection, redis_client: redis.Redis
) -> None:
    """Somebody's INCR between another's MULTI and EXEC would be answered QUEUED."""
    before = connections(redis_client)
    commands = [("MULTI",), ("INCR", "n"), ("INCR", "n"), ("EXEC",)]
    many = await asyncio.gather(*(line.exchange(commands) for _ in range(500)))
    pairs = [replies[-1] for replies in many]
    assert pairs == [[2 * i + 1, 2 * i + 2] for i in range(500)]
    assert connections(redis_client) <= before + 1


async def test_a_task_that_gives_up_leaves_the_replies_of_others_in_place(
    line: SharedConnection,
) -> None:
    wishes = [asyncio.create_task(line.exchange([("ECHO", str(i))])) for i in range(20)]
    await asyncio.sleep(0)
    for wish in wishes[::2]:
        wish.cancel()
    replies = await asyncio.gather(*wishes, return_exceptions=True)
    assert replies[1::2] == [[b"%d" % i] for i in range(1, 20, 2)]


async def test_a_server_error_stands_in_place_of_its_reply(line: SharedConnection) -> None:
    first, second, third = await line.exchange([("ECHO", "1"), ("NOSUCH",), ("ECHO", "3")])
    assert (first, third) == (b"1", b"3")
    assert isinstance(second, ResponseError)


async def test_a_broken_line_connects_anew(
    line: SharedConnection, redis_client: redis.Redis
) -> None:
    await line.exchange([("PING",)])
    redis_client.client_kill_filter(_type="normal", skipme=True)
    with pytest.raises(RedisConnectionLostError):
        await line.exchange([("PING",)])
    assert await line.exchange([("PING",)]) == [b"PONG"]
