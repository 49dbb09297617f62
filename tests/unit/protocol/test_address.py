"""URLs of servers, Sentinels and clusters, and which slot a command belongs to."""

import pytest
from redis.crc import key_slot as redis_slot

from invokeq.errors import InvalidConfigurationError
from invokeq.protocol.redis import keys
from invokeq.protocol.redis.address import parse_address, public_address
from invokeq.protocol.redis.slots import RQ_SLOT, SlotMap, key_slot, slot_of, split_by_node

RID = "a" * 32
EVENTS = keys.events(RID)


@pytest.mark.parametrize("key", ["a", "{a}b", "a{}b", "a{b", "{a", "}{", "{{a}}", EVENTS, ""])
def test_slots_are_those_of_redis(key: str) -> None:
    assert key_slot(key) == redis_slot(key.encode())


def test_the_keys_of_an_invocation_are_in_one_slot() -> None:
    names = (EVENTS, keys.reader(RID), keys.request_id_lock(RID), keys.body_part(RID, 3))
    assert len({key_slot(name) for name in names}) == 1


@pytest.mark.parametrize(
    ("command", "key"),
    [
        (("XREAD", "COUNT", 1, "BLOCK", 5, "STREAMS", EVENTS, "0-0"), EVENTS),
        (("EVALSHA", "sha", 2, "k1", "k2", "arg"), "k1"),
        (("SET", EVENTS, b"x"), EVENTS),
        (("BLPOP", b"{a}bell", 5.0), "{a}bell"),
    ],
)
def test_a_command_goes_to_the_slot_of_its_key(command: tuple[str, ...], key: str) -> None:
    assert slot_of(command) == key_slot(key)


@pytest.mark.parametrize("name", ["MULTI", "EXEC", "TIME", "PUBLISH", "INFO", "SCRIPT"])
def test_what_has_no_key_goes_where_rq_is(name: str) -> None:
    assert slot_of((name, "x")) == RQ_SLOT


def test_runs_keep_the_order() -> None:
    slots = SlotMap([[0, 8191, [b"a", 1, b"id"]], [8192, 16383, [b"", 2, b"id"]]], ("asked", 9))
    commands = [("SET", f"{{{n}}}", n) for n in range(50)]
    parts = list(split_by_node(commands, slots))
    assert [command for _, part in parts for command in part] == commands
    for node, part in parts:
        assert {slots.node_of(slot_of(command)) for command in part} == {node}
    assert slots.nodes == (("a", 1), ("asked", 2))


def test_a_slot_that_nobody_has() -> None:
    assert SlotMap([], ("a", 1)).node_of(5) is None


def test_sentinels() -> None:
    url = "rediss+sentinel://u:p%40@one:1,[::1],three/mymaster/2?ssl_ca_certs=/ca.pem"
    address = parse_address(url)
    assert (address.kind, address.service) == ("sentinel", "mymaster")
    assert address.nodes == (("one", 1), ("::1", 26379), ("three", 26379))
    assert address.url_of(("::1", 7)) == "rediss://u:p%40@[::1]:7/2?ssl_ca_certs=/ca.pem"


@pytest.mark.parametrize("url", ["redis://h:1/0", "rediss://h", "unix:///s.sock"])
def test_one_server_is_left_as_it_is(url: str) -> None:
    assert (parse_address(url).kind, parse_address(url).url) == ("server", url)


def test_a_database_of_a_cluster_is_refused() -> None:
    with pytest.raises(InvalidConfigurationError, match="database"):
        parse_address("redis+cluster://h:1/3")


def test_what_sentinels_want_is_not_for_the_data_servers() -> None:
    url = "redis+sentinel://u:p@one/m?sentinel_password=a%26b%2Bc+d&db=3&sentinel_username=who"
    address = parse_address(url)
    assert address.sentinel_login == ("who", "a&b+c+d")
    assert address.sentinel_login.options == {"username": "who", "password": "a&b+c+d"}
    assert address.url_of(("one", 1)) == "redis://u:p@one:1/0?db=3"
    alone = parse_address("redis+sentinel://one/m?sentinel_password=x")
    assert (alone.sentinel_login.options, alone.rest) == ({"password": "x"}, "/0")
    assert parse_address("redis+sentinel://u:p@one/m").sentinel_login.options == {}


def test_a_user_for_sentinels_needs_a_password() -> None:
    with pytest.raises(InvalidConfigurationError, match="sentinel_password"):
        parse_address("redis+sentinel://one/m?sentinel_username=who")


@pytest.mark.parametrize("kind", ["redis+sentinel://u:canary@h/m", "redis://u:canary@h/0"])
def test_an_address_shows_no_password(kind: str) -> None:
    """Fails with the `repr` of a NamedTuple: tried."""
    shown = repr(parse_address(f"{kind}?sentinel_password=canary"))
    assert "canary" not in shown


def test_a_port_that_is_none_is_not_quoted() -> None:
    """A slash in a password makes the password's begin a port."""
    with pytest.raises(InvalidConfigurationError, match="port") as caught:
        parse_address("redis://:canary/rest@h:1/0")
    assert "canary" not in str(caught.value) + repr(caught.value)


@pytest.mark.parametrize("option", ["protocol=3", "db=1&decode_responses=1", "m%61x_connections=1"])
@pytest.mark.parametrize("url", ["redis://h", "unix:///s", "redis+sentinel://h/m"])
def test_options_that_connections_depend_on_are_refused(url: str, option: str) -> None:
    with pytest.raises(InvalidConfigurationError, match="which invokeq sets itself"):
        parse_address(f"{url}?{option}")


def test_the_public_address_has_no_login_and_no_options() -> None:
    assert public_address("rediss://u:p@h:1/2?ssl_ca_certs=x") == "rediss://h:1/2"
    assert public_address("unix://u:p@/run/r.sock?db=0") == "unix:///run/r.sock"
