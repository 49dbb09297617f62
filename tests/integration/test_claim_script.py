"""The claim script's own arithmetic, played by the server that runs it."""

import random
import re

import redis

from invokeq.protocol.rq_time import iso
from invokeq_worker.scripts import CLAIM

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
