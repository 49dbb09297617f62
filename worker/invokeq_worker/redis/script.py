"""A Lua script whose keys and arguments are declared by name, so that no order is written twice.

The declaration is four NamedTuples: keys, arguments, and the keys and arguments of each repeated
group, such as one a queue. The order of the fields is the order in KEYS and ARGV. The table on top
of each file in `lua/`, and the locals that the file reads them into, are checked against the
declaration by tests/unit/worker/test_scripts.py.
"""

import hashlib
from collections.abc import Iterable, Sequence
from importlib import resources
from typing import Any, Final, Generic, NamedTuple, TypeVar

from redis.exceptions import NoScriptError

from invokeq.protocol.redis.resp import Command, Reply
from invokeq.transport.connection import RedisConnection

Keys = TypeVar("Keys", bound=tuple[Any, ...])
Args = TypeVar("Args", bound=tuple[Any, ...])
GroupKeys = TypeVar("GroupKeys", bound=tuple[Any, ...])
GroupArgs = TypeVar("GroupArgs", bound=tuple[Any, ...])


class NoGroup(NamedTuple):
    """The keys, and the arguments, of a script that repeats nothing."""


class Script(Generic[Keys, Args, GroupKeys, GroupArgs]):
    """One file of `lua/`, and which keys and arguments the file takes in which order."""

    def __init__(
        self,
        name: str,
        keys: type[Keys],
        args: type[Args],
        group_keys: type[GroupKeys],
        group_args: type[GroupArgs],
    ) -> None:
        path = resources.files("invokeq_worker.redis").joinpath("lua", f"{name}.lua")
        self.name = name
        self.keys, self.args = keys, args
        self.group_keys, self.group_args = group_keys, group_args
        self.source: Final = path.read_bytes()
        self.sha: Final = hashlib.sha1(self.source, usedforsecurity=False).hexdigest()

    def call(
        self, keys: Keys, args: Args, groups: Iterable[tuple[GroupKeys, GroupArgs]] = ()
    ) -> Command:
        """Return the EVALSHA that runs the script; `groups` follow the keys and the arguments."""
        all_keys: list[Any] = [*keys]
        all_args: list[Any] = [*args]
        for group_keys, group_args in groups:
            all_keys += group_keys
            all_args += group_args
        return ("EVALSHA", self.sha, len(all_keys), *all_keys, *all_args)


async def exchange_scripts(
    connection: RedisConnection,
    commands: Sequence[Command],
    timeout: float,
    scripts: Sequence[Script[Any, Any, Any, Any]],
) -> list[Reply]:
    """Exchange a batch; one round trip, two when the server does not know the scripts.

    A server that was restarted or that took over answers NOSCRIPT. Then `scripts` are loaded and
    only the refused commands are sent again, so that the others run once.
    """
    replies = await connection.exchange(commands, timeout)
    refused = [at for at, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
    if refused:
        load: list[Command] = [("SCRIPT", "LOAD", script.source) for script in scripts]
        again = await connection.exchange([*load, *(commands[at] for at in refused)], timeout)
        for at, reply in zip(refused, again[len(load) :], strict=True):
            replies[at] = reply
    return replies
