"""Build Redis ACL rules: the least privileges of each role.

A plugin's rules are selectors: each ties some commands to some keys. Redis 6.2 has no selectors:
there a role may use every command on every key of the role, and a plugin can tamper with keys
meant for reading; see docs/operators.md. Key patterns can name lanes but not request ids: a plugin
with the id of an invocation can read and stop the invocation. Ids are unguessable, and no readable
key lists the ids of other plugins.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Final, Literal, NamedTuple

from rq.defaults import RQ_KEY_PREFIX

from invokeq.protocol.redis import keys

PLACEHOLDER: Final = "#SHA256-OF-THE-PASSWORD"
"""The placeholder for the hash of a password; no server accepts it."""

Role = Literal["plugin", "gateway", "worker", "operator"]


class Grant(NamedTuple):
    """Commands, separated by spaces, for a role to use on keys."""

    commands: str
    keys: Sequence[str] = ()
    read_only: bool = False


class Rights(NamedTuple):
    """The privileges of one role; `commands` holds commands without keys, or ACL categories."""

    commands: str
    publish: Sequence[str]
    grants: Sequence[Grant]


_ANY_ID: Final = "*"

_CONNECTION: Final = "+ping +select +cluster|slots +asking"

_NAMED: Final = f"{_CONNECTION} +client|setname +client|info"
"""RQ's workers and tools set the name and the library of their connections."""


def _plugin(name: str) -> Rights:
    rid = _ANY_ID
    parts = (
        keys.body_part(rid, 0).removesuffix("0") + "*",
        keys.file_part(rid, 0).removesuffix("0") + "*",
    )
    return Rights(
        f"{_CONNECTION} +time +multi +exec +publish",
        (keys.CANCEL_CHANNEL,),
        (
            Grant("+hset +hget +hmget +expire", (keys.job(rid),)),
            Grant("+lpush +rpush +lrem +lpos +llen", (keys.lane_list(f"*:{name}"),)),
            Grant("+zadd", (keys.registry("canceled", f"*:{name}"),)),
            Grant("+sadd", (keys.QUEUES, keys.ready("*"))),
            Grant("+lpush", (keys.wakeup("*"),)),
            Grant("+set +getex +expire", (keys.reader(rid),)),
            Grant("+set +get +expire", (keys.request_id_lock(rid),)),
            Grant("+set +expire", parts),
            Grant(
                "+zadd +zcard +zrange +zrem +zremrangebyscore +expire",
                (keys.waiting(f"*:{name}", "*"),),
            ),
            Grant("+xread +xrevrange +xadd +expire", (keys.events(rid),)),
            Grant("+zrange +zscore", (keys.LEASES,), read_only=True),
            Grant("+hgetall", (keys.DIRECTORY,), read_only=True),
            Grant("+get", (keys.catalog("*"),), read_only=True),
        ),
    )


def _gateway(name: str) -> Rights:
    rights = _plugin(name)
    sessions = Grant("+set +get +del", (keys.plugin_session("*"),))
    return rights._replace(grants=(*rights.grants, sessions))


_ALL_KEYS: Final = (f"{RQ_KEY_PREFIX}:*", "invokeq:{*}:*")

_WORKER_COMMANDS: Final = (
    "+time +info +type +multi +exec +evalsha +script|load +subscribe +unsubscribe"
    " +exists +expire +del +get +set +mget"
    " +hget +hmget +hgetall +hset +hdel +hexists +hincrby +hincrbyfloat"
    " +lpush +lpop +blpop +llen +sadd +srem +smembers"
    " +zadd +zrem +zrange +zrangebyscore +zremrangebyscore +zscore"
    " +xadd +xrange +xrevrange +xtrim"
)

_OPERATOR_COMMANDS: Final = (
    "+@read +@write +@transaction +@pubsub -@scripting -@dangerous -scan -randomkey"
    " +eval +evalsha +script|load +script|exists +info +time"
)


def _rights(role: Role, name: str | None) -> Rights:
    match role:
        case "plugin":
            return _plugin(keys.check_name("plugin", name or ""))
        case "gateway":
            return _gateway(keys.check_name("gateway", name or ""))
        case "worker":
            channels = (keys.worker_channel("*"), keys.CANCEL_CHANNEL)
            return Rights(f"{_NAMED} {_WORKER_COMMANDS}", channels, (Grant("", _ALL_KEYS),))
        case "operator":
            channels = (keys.worker_channel("*"), keys.CANCEL_CHANNEL)
            return Rights(f"{_NAMED} {_OPERATOR_COMMANDS}", channels, (Grant("", _ALL_KEYS),))


def user_name(role: Role, name: str | None) -> str:
    """Return the default name of a role's user."""
    return f"{role}-{name}" if name else f"invokeq-{role}"


def acl_rules(role: Role, name: str | None = None, *, selectors: bool = True) -> list[str]:
    """Return the rules of a role, for ACL SETUSER after `reset` and the password.

    `name` names the plugin or gateway. Without `selectors` the rules are for Redis 6.2. Raises
    InvalidRequestError for an impossible name.
    """
    rights = _rights(role, name)
    channels = ["resetchannels", *(f"&{channel}" for channel in rights.publish)]
    if role in ("worker", "operator"):
        return [*channels, *_patterns(rights.grants), *rights.commands.split()]
    if selectors:
        return [*channels, *rights.commands.split(), *map(_selector, rights.grants)]
    commands = " ".join([rights.commands, *(grant.commands for grant in rights.grants)])
    return [*channels, *_patterns(rights.grants), *dict.fromkeys(commands.split())]


def set_user(user: str, password: str | None, rules: Iterable[str]) -> str:
    """Return the ACL SETUSER command for creating or replacing a user.

    The command contains the SHA-256 of the password only.
    """
    secret = PLACEHOLDER if password is None else f"#{_sha256(password)}"
    return " ".join(["ACL SETUSER", user, "reset", "on", secret, *rules])


def _sha256(password: str) -> str:
    return hashlib.sha256(password.encode()).hexdigest()


def _selector(grant: Grant) -> str:
    sign = "%R~" if grant.read_only else "~"
    return f"({' '.join([*(sign + key for key in grant.keys), grant.commands])})"


def _patterns(grants: Iterable[Grant]) -> list[str]:
    return [f"~{key}" for grant in grants for key in grant.keys]
