"""The address of Redis: one server, a master named by Sentinels, or a cluster.

| URL | meaning |
|---|---|
| `redis://host:6379/0`, `rediss://`, `unix:///path` | one server |
| `redis+cluster://host:6379,host2:6379` | a cluster, by any of the nodes |
| `redis+sentinel://host:26379,host2:26379/name` | the master `name`, by the Sentinels |

`rediss+` means TLS. User, password and the options after the `?` are for the data servers, except
`sentinel_username` and `sentinel_password`, percent-encoded: the login of the Sentinels.
"""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

from rq.defaults import RQ_KEY_PREFIX

from invokeq.protocol.errors import InvalidConfigurationError

_FOR_SENTINELS: Final = ("sentinel_username", "sentinel_password")

_FIXED: Final = frozenset({"protocol", "decode_responses", "legacy_responses", "max_connections"})
"""Options of redis-py for replies and for the size of the pool, which invokeq must set alone."""

Kind = Literal["server", "cluster", "sentinel"]
Node = tuple[str, int]
"""Host and port."""

_DEFAULT_PORTS: Final[Mapping[Kind, int]] = {"server": 6379, "cluster": 6379, "sentinel": 26379}


class Login(NamedTuple):
    """A user and a password; both empty for no login, the user alone empty for the default one."""

    user: str = ""
    password: str = ""

    @property
    def options(self) -> dict[str, str]:
        """Return the login as redis-py's keyword arguments, without empty values."""
        named = {"username": self.user, "password": self.password}
        return {name: value for name, value in named.items() if value}


class Address(NamedTuple):
    """The parts of a URL. `url_of(node)` is the URL of one data server."""

    kind: Kind
    url: str
    nodes: tuple[Node, ...] = ()
    service: str = ""
    scheme: str = ""
    user: str = ""
    rest: str = ""
    sentinel_login: Login = Login()

    def __repr__(self) -> str:  # the rest holds passwords
        return f"Address(kind={self.kind!r}, nodes={self.nodes!r}, service={self.service!r})"

    def url_of(self, node: Node) -> str:
        """Return the URL of one data server, with user, password and options."""
        host, port = node
        shown = f"[{host}]" if ":" in host else host
        return f"{self.scheme}://{self.user}{shown}:{port}{self.rest}"


def public_address(url: str) -> str:
    """Return the URL without user, password and options, for messages."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def parse_address(url: str) -> Address:
    """Return the parts of a URL.

    Raise InvalidConfigurationError for a wrong URL of several hosts, and for an option reserved to
    invokeq.
    """
    parts = urlsplit(url)
    _refuse_fixed(parts.query)
    scheme, _, kind = parts.scheme.partition("+")
    if not kind:
        _check_port(parts)
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
    login, options = _split_login(parts.query)
    rest = f"/{database or 0}{f'?{options}' if options else ''}"
    return Address("sentinel", url, nodes, service, scheme, f"{user}{at}", rest, login)


def _refuse_fixed(query: str) -> None:
    for option in query.split("&"):
        name = unquote(option.partition("=")[0])
        if name in _FIXED:
            raise _wrong(f"has the option {name}, which invokeq sets itself; leave it out")


def _split_login(query: str) -> tuple[Login, str]:
    """Return the Sentinels' login, and the other options verbatim."""
    # Not `parse_qsl`: decoding and encoding again could change an option of the data servers.
    own: dict[str, str] = {}
    rest: list[str] = []
    for option in query.split("&"):
        name, _, value = option.partition("=")
        if name in _FOR_SENTINELS:
            own[name] = unquote(value)
        else:
            rest.append(option)
    login = Login(*(own.get(name, "") for name in _FOR_SENTINELS))
    if login.user and not login.password:
        raise _wrong("has a sentinel_username, but no sentinel_password")
    return login, "&".join(rest)


def _node(text: str, default: int) -> Node:
    parts = urlsplit(f"//{text}")
    port = _check_port(parts)
    if not parts.hostname:
        raise _wrong("names no host before a port")
    return parts.hostname, port or default


def _check_port(parts: SplitResult) -> int | None:
    # urllib's own message quotes the port. If the password has a slash without percent-encoding,
    # the quoted "port" is a part of the password, and the message would leak the password.
    try:
        return parts.port
    except ValueError:
        raise _wrong("has a port that is not a number from 0 to 65535") from None


def _wrong(problem: str) -> InvalidConfigurationError:
    return InvalidConfigurationError(source="Redis", setting="url", problem=problem)
