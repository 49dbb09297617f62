"""Lua scripts with keys and arguments declared by name, so that no order is written twice.

The declaration is four NamedTuples: keys, arguments, and the keys and arguments of each repeated
group, such as one group a queue. The order of the fields is the order in KEYS and ARGV. A test,
tests/unit/worker/test_scripts.py, checks the table on top of each file in `lua/` and the file's
locals against the declaration.
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
    """Keys or arguments of a script without repeated groups."""


class Script(Generic[Keys, Args, GroupKeys, GroupArgs]):
    """One file of `lua/`, with the order of the keys and arguments."""

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
        # EVALSHA names a script by the SHA-1 of the source; no security depends on the hash.
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

    A server after a restart or failover answers NOSCRIPT. Then `scripts` are loaded and only the
    refused commands are sent again, so that all other commands run once. `timeout` is in seconds,
    for each round trip.
    """
    replies = await connection.exchange(commands, timeout)
    refused = [at for at, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
    if refused:
        # All scripts, not only the refused ones: a server that forgot one has forgotten all.
        load: list[Command] = [("SCRIPT", "LOAD", script.source) for script in scripts]
        again = await connection.exchange([*load, *(commands[at] for at in refused)], timeout)
        # Refused commands have run later than their neighbours, but each reply keeps the place.
        for at, reply in zip(refused, again[len(load) :], strict=True):
            replies[at] = reply
    return replies
