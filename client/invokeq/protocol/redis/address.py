"""Where Redis is: one server, a Sentinel's master, or a cluster; and which slot a key is in.

| URL | what it is |
|---|---|
| `redis://host:6379/0`, `rediss://`, `unix://` | one server |
| `redis+cluster://host:6379,host2:6379` | a cluster, by any of its nodes |
| `redis+sentinel://host:26379,host2:26379/name` | the master that Sentinels call so |

With `rediss+` it is TLS. User, password and what follows the `?` are for the data servers, but for
`sentinel_username` and `sentinel_password`, percent-encoded: what Sentinels themselves want.
"""

import binascii
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import unquote, urlsplit

from rq.defaults import RQ_KEY_PREFIX

from invokeq.protocol.errors import InvalidConfigurationError
from invokeq.protocol.redis.resp import Command

SLOTS: Final = 16384

_FOR_SENTINELS: Final = ("sentinel_username", "sentinel_password")

Kind = Literal["server", "cluster", "sentinel"]
Node = tuple[str, int]

_DEFAULT_PORTS: Final[Mapping[Kind, int]] = {"server": 6379, "cluster": 6379, "sentinel": 26379}


class Login(NamedTuple):
    """A user and a password; both empty where none are wanted, the user alone for the default."""

    user: str = ""
    password: str = ""

    @property
    def options(self) -> dict[str, str]:
        """What redis-py calls them, without those that are empty."""
        named = {"username": self.user, "password": self.password}
        return {name: value for name, value in named.items() if value}


class Address(NamedTuple):
    """A URL taken apart. `url_of(node)` is that of one data server; `asking` is for Sentinels."""

    kind: Kind
    url: str
    nodes: tuple[Node, ...] = ()
    service: str = ""
    scheme: str = ""
    user: str = ""
    rest: str = ""
    asking: Login = Login()

    def __repr__(self) -> str:  # the rest holds passwords
        return f"Address(kind={self.kind!r}, nodes={self.nodes!r}, service={self.service!r})"

    def url_of(self, node: Node) -> str:
        host, port = node
        shown = f"[{host}]" if ":" in host else host
        return f"{self.scheme}://{self.user}{shown}:{port}{self.rest}"


def parse_address(url: str) -> Address:
    """Take a URL apart; InvalidConfigurationError says what is wrong with one of several hosts."""
    parts = urlsplit(url)
    scheme, _, kind = parts.scheme.partition("+")
    if not kind:
        return Address("server", url)
    if kind not in ("cluster", "sentinel") or scheme not in ("redis", "rediss"):
        raise _wrong("must start with redis+cluster:// or redis+sentinel://, or rediss+ for TLS")
    user, at, hosts = parts.netloc.rpartition("@")
    nodes = tuple(_node(host, _DEFAULT_PORTS[kind]) for host in hosts.split(",") if host)
    if not nodes:
        raise _wrong(f"names no host; write {parts.scheme}://host:{_DEFAULT_PORTS[kind]}")
    service, _, database = parts.path.strip("/").partition("/")
    query = f"?{parts.query}" if parts.query else ""
    if kind == "cluster":
        if parts.path.strip("/") not in ("", "0"):
            raise _wrong("names a database, of which a cluster has only 0")
        if "{" not in RQ_KEY_PREFIX:
            raise _wrong("is a cluster's, which needs RQ_KEY_PREFIX='{rq}' in the environment")
        return Address("cluster", url, nodes, "", scheme, f"{user}{at}", query)
    if not service:
        raise _wrong("names no master; write redis+sentinel://host:26379/mymaster")
    asking, options = _without_asking(parts.query)
    rest = f"/{database or 0}{f'?{options}' if options else ''}"
    return Address("sentinel", url, nodes, service, scheme, f"{user}{at}", rest, asking)


def _without_asking(query: str) -> tuple[Login, str]:
    """Take what is for Sentinels out of the options, and leave the rest as it is written."""
    own: dict[str, str] = {}
    rest: list[str] = []
    for option in query.split("&"):
        name, _, value = option.partition("=")
        if name in _FOR_SENTINELS:
            own[name] = unquote(value)
        else:
            rest.append(option)
    asking = Login(*(own.get(name, "") for name in _FOR_SENTINELS))
    if asking.user and not asking.password:
        raise _wrong("has a sentinel_username, but no sentinel_password")
    return asking, "&".join(rest)


def _node(text: str, default: int) -> Node:
    parts = urlsplit(f"//{text}")
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        raise _wrong("has a port that is not a number from 0 to 65535") from None
    if not host:
        raise _wrong("names no host before a port")
    return host, port or default


def _wrong(problem: str) -> InvalidConfigurationError:
    return InvalidConfigurationError(source="Redis", setting="url", problem=problem)


def key_slot(key: str | bytes) -> int:
    """Give the slot of a key: of what is between the first braces, if there is something."""
    name = key.encode() if isinstance(key, str) else key
    begin = name.find(b"{")
    end = name.find(b"}", begin + 1) if begin >= 0 else -1
    tag = name[begin + 1 : end] if end > begin + 1 else name
    return binascii.crc_hqx(tag, 0) % SLOTS


RQ_SLOT: Final = key_slot(f"{RQ_KEY_PREFIX}:queues")
"""The slot of all of RQ's family, and of what has no key."""

_SCRIPTS: Final = frozenset({"EVAL", "EVALSHA"})
_KEYLESS: Final = frozenset(
    {"MULTI", "EXEC", "TIME", "PUBLISH", "SCRIPT", "INFO", "PING", "CLUSTER", "ASKING"}
)


def slot_of(command: Command) -> int:
    """Give the slot that a command of ours belongs to."""
    name = str(command[0])
    if name in _KEYLESS:
        return RQ_SLOT
    if name in _SCRIPTS:
        return _key(command, 3) if command[2] else RQ_SLOT
    if name == "XREAD":
        return _key(command, command.index("STREAMS") + 1)
    return _key(command, 1)


def _key(command: Command, at: int) -> int:
    key = command[at]
    return key_slot(key if isinstance(key, bytes) else str(key))


class SlotMap:
    """Which node has which slot, as CLUSTER SLOTS says it."""

    def __init__(self, reply: Sequence[Any], asked: Node) -> None:
        self._ranges = [
            (int(begin), int(end), (_text(master[0]) or asked[0], int(master[1])))
            for begin, end, master, *_ in reply
        ]
        self.nodes = tuple(dict.fromkeys(node for _, _, node in self._ranges))

    def node_of(self, slot: int) -> Node | None:
        """Give the master of a slot; None if nobody has it right now."""
        return next((node for begin, end, node in self._ranges if begin <= slot <= end), None)


def _text(value: bytes | str | None) -> str:
    text = value.decode() if isinstance(value, bytes) else value or ""
    return "" if text == "?" else text


def runs(
    commands: Sequence[Command], slots: SlotMap
) -> Iterator[tuple[Node | None, list[Command]]]:
    """Part commands where the node changes, in their order."""
    run: list[Command] = []
    last: Node | None = None
    for command in commands:
        node = slots.node_of(slot_of(command))
        if run and node != last:
            yield last, run
            run = []
        last = node
        run.append(command)
    if run:
        yield last, run
