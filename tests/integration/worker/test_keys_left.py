"""The check for keys that would never expire."""

from collections.abc import Collection

import pytest
import redis

from invokeq.protocol.redis import keys
from tests.support.servers.leaked_keys import leaked_keys


@pytest.fixture
def permanent_keys() -> Collection[str]:
    return {keys.lane_list("*"), "leak"}


def test_a_key_without_ttl_is_a_leak(redis_client: redis.Redis) -> None:
    redis_client.set("leak", 1)
    redis_client.set("expires", 1, ex=60)
    redis_client.set(keys.lane_list("llm"), 1)
    assert leaked_keys(redis_client, {keys.lane_list("*")}) == ["leak"]


def test_each_test_begins_with_an_empty_database(redis_client: redis.Redis) -> None:
    assert redis_client.dbsize() == 0


def test_the_check_runs_where_permanent_keys_are_named(request: pytest.FixtureRequest) -> None:
    assert "keys_have_ttl" in request.fixturenames
