"""The claim script's own arithmetic, played by the server that runs it."""

import random
import re
from typing import Any, cast

import redis

from invokeq.protocol.redis import keys
from invokeq.protocol.redis.rq_time import iso
from invokeq_worker.redis import scripts
from invokeq_worker.redis.scripts import CLAIM

LAST_DAY = 4_102_444_799  # of the year 2099


def test_times_are_written_as_rq_writes_them(redis_client: redis.Redis) -> None:
    function = re.search(rb"local function iso\(\).*?\nend\n", CLAIM.source, re.DOTALL)
    assert function is not None
    script = redis_client.register_script(
        b"local time = {ARGV[1], ARGV[2]}\n" + function[0] + b"return iso()"
    )
    leap_days = [951_782_399, 951_782_400, 1_709_164_800, 1_709_251_199, 4_107_542_400]
    seconds = [0, 1, 86_399, 86_400, LAST_DAY, *leap_days]
    seconds += random.Random(7).sample(range(LAST_DAY), 2000)
    for at in seconds:
        micros = at * 7 % 1_000_000
        written = script(args=[at, micros])
        assert written.decode() == iso(at).replace(".000000Z", f".{micros:06d}Z")


def claim(client: redis.Redis, name: str) -> scripts.Claim:
    """Claim as the worker of that name does."""
    client.script_load(CLAIM.source)
    command = scripts.claim(name, queues=("llm",), capacity=32, execution_prefix="ab" * 12)
    reply = cast(Any, client).execute_command(*command)
    return scripts.parse_claim(reply)


def test_who_has_no_lease_gets_nothing_and_wakes_another(redis_client: redis.Redis) -> None:
    """A frozen worker's claim, sent ahead behind the bell, comes when others have cleaned up: what
    it took would be lost. Fails without the look at the leases: tried."""
    waiting, lane, wakeup = "ab" * 16, "llm:acme", keys.wakeup("llm")
    redis_client.hset(keys.job(waiting), mapping={"status": "queued", "data": "x"})
    redis_client.expire(keys.job(waiting), 60)
    redis_client.rpush(keys.lane_list(lane), waiting)
    redis_client.sadd(keys.ready("llm"), "acme")
    seconds, _ = redis_client.time()
    redis_client.zadd(keys.LEASES, {"frozen": seconds * 1000 - 1, "w1": (seconds + 60) * 1000})
    for name in ("frozen", "nobody"):
        nothing = claim(redis_client, name)
        assert (nothing.suspended, nothing.jobs) == (True, [])
        assert redis_client.llen(wakeup) == 1
        assert redis_client.llen(keys.lane_list(lane)) == 1
    assert [job.id for job in claim(redis_client, "w1").jobs] == [waiting]
    redis_client.expire(keys.worker("w1"), 60)
