"""A Redis in memory with the commands of the client's plans, and no others.

Strict and small: an unknown command is a NotImplementedError, and keys never expire. Reads never
block, because each read of a stream lets the fake worker advance the invocation.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, Final

from invokeq.protocol.errors import InvokeqError
from invokeq.protocol.events import EventId
from invokeq.protocol.lease import DETACHED
from invokeq.protocol.redis import keys
from invokeq.protocol.redis.resp import Command, Reply

StreamEntry = tuple[bytes, list[bytes]]

_JOB: Final = keys.job("")
_LANE: Final = keys.lane_list("")
_LEASE_END: Final = b"9007199254740991"  # in server milliseconds: the fake worker never dies
_REFUSED: Final = b"refused"
"""Status of a job refused by the script: the job can neither be withdrawn nor looked up."""


class Worker(ABC):
    """Acts on the writes and reads of a client."""

    @abstractmethod
    def on_push(self, request_id: str) -> None:
        """Take in a pushed job; raises the error of a script for refusing the job."""

    @abstractmethod
    def on_read(self, request_id: str) -> bool:
        """Write the next event of an invocation; return False if none is left."""

    @abstractmethod
    def on_detach(self, request_id: str) -> None:
        """Run an invocation to the end."""

    @abstractmethod
    def on_cancel(self, request_id: str, reason: str) -> None:
        """Stop a running invocation."""


class MemoryRedis:
    """Executes commands on dictionaries and lists, for one fake session and all copies."""

    worker: Worker

    def __init__(self) -> None:
        self._strings: dict[str, bytes] = {}
        self._hashes: dict[str, dict[str, bytes]] = {}
        self._lists: dict[str, list[bytes]] = {}
        self._streams: dict[str, list[StreamEntry]] = {}
        self._pushed: list[str] = []

    @property
    def request_ids(self) -> list[str]:
        """Return the ids of the jobs pushed and not withdrawn, in order."""
        return [rid for rid in self._pushed if keys.job(rid) in self._hashes]

    def execute(self, commands: Sequence[Command]) -> list[Reply]:
        """Execute one batch, as a server would.

        Raises the error of a script for refusing a job. A refused job leaves no key behind, and
        later jobs of the batch are not pushed.
        """
        replies: list[Reply] = []
        transaction: list[Reply] | None = None
        try:
            for name, *arguments in commands:
                if name == "MULTI":
                    transaction = []
                    replies.append(b"OK")
                elif name == "EXEC":
                    replies.append(transaction)
                    transaction = None
                elif transaction is None:
                    replies.append(self.run(str(name), *arguments))
                else:
                    transaction.append(self.run(str(name), *arguments))
                    replies.append(b"QUEUED")
        except InvokeqError:
            self._refuse(commands)
            raise
        return replies

    def run(self, name: str, *arguments: Any) -> Reply:
        """Execute one command; NotImplementedError for a command outside the plans."""
        handler = getattr(self, f"_{name.lower()}", None)
        if handler is None:
            raise NotImplementedError(
                f"the fake session has no Redis, and {name} was to be sent there"
            )
        return handler(*arguments)

    def _refuse(self, commands: Iterable[Command]) -> None:
        # A real server has executed the batch, or none of it. Here it breaks off at the refused
        # job, so the caller must not count the rest of the batch as withdrawn.
        for key in (str(command[1]) for command in commands if command[0] == "HSET"):
            request_id = key.removeprefix(_JOB)
            if request_id not in self._pushed:
                self._hashes[key] = {"status": _REFUSED}
                self._strings.pop(keys.request_id_lock(request_id), None)

    def _push(self, key: str, value: str | bytes, at: int) -> int:
        waiting = self._lists.setdefault(key, [])
        waiting.insert(at, _encoded(value))
        depth = len(waiting)
        if key.startswith(_LANE):
            request_id = str(value)
            # Only here: all keys of the job are written before the push, as for a real worker.
            try:
                self.worker.on_push(request_id)
            except InvokeqError:
                waiting.remove(_encoded(value))
                raise
            self._pushed.append(request_id)
        return depth

    def _lpush(self, key: str, value: str | bytes) -> int:
        return self._push(key, value, 0)

    def _rpush(self, key: str, value: str | bytes) -> int:
        return self._push(key, value, len(self._lists.get(key, ())))

    def _lrem(self, key: str, count: int, value: str) -> int:
        del count  # an id is in a list once
        waiting = self._lists.get(key, [])
        if value.encode() not in waiting:
            return 0
        waiting.remove(value.encode())
        return 1

    def _lpos(self, key: str, value: str) -> int | None:
        waiting = self._lists.get(key, [])
        return waiting.index(value.encode()) if value.encode() in waiting else None

    def _set(self, key: str, value: str | bytes, *options: str | int) -> Reply:
        before = self._strings.get(key)
        if "NX" in options and before is not None:
            return None
        self._strings[key] = _encoded(value)
        # No reader may ever come, and only reads advance an invocation: so run it to its end now.
        if value == DETACHED:
            self.worker.on_detach(_request_id_in(key))
        return before if "GET" in options else b"OK"

    def _get(self, key: str) -> bytes | None:
        return self._strings.get(key)

    def _getex(self, key: str, *options: str | int) -> bytes | None:
        del options  # nothing expires
        return self._strings.get(key)

    def _expire(self, key: str, seconds: int) -> int:
        if seconds == 0:  # the plans delete so, because the ACL of a plugin allows no DEL
            for kept in (self._strings, self._hashes, self._streams):
                kept.pop(key, None)
        return 1

    def _hset(self, key: str, *pairs: str | bytes | float) -> int:
        fields = zip(pairs[::2], pairs[1::2], strict=True)
        self._hashes.setdefault(key, {}).update({str(n): _encoded(v) for n, v in fields})
        return 0

    def _hget(self, key: str, field: str) -> bytes | None:
        return self._hashes.get(key, {}).get(field)

    def _hmget(self, key: str, *fields: str) -> list[bytes | None]:
        return [self._hget(key, field) for field in fields]

    def _xadd(self, key: str, entry_id: str, *flat: str | bytes) -> bytes:
        self._streams.setdefault(key, []).append((entry_id.encode(), [*map(_encoded, flat)]))
        return entry_id.encode()

    def _xrevrange(self, key: str, *bounds: str | int) -> list[StreamEntry]:
        del bounds  # every plan asks for the newest entry
        return self._streams.get(key, [])[-1:]

    def _xread(self, *arguments: Any) -> list[Any] | None:
        key, after = str(arguments[-2]), EventId.parse(str(arguments[-1]))
        found = self._entries_after(key, after)
        while not found and self.worker.on_read(_request_id_in(key)):
            found = self._entries_after(key, after)
        return [[key.encode(), found]] if found else None

    def _entries_after(self, key: str, after: EventId) -> list[StreamEntry]:
        entries = self._streams.get(key, [])
        return [entry for entry in entries if EventId.parse(entry[0]) > after]

    def _publish(self, channel: str, message: str) -> int:
        if channel == keys.CANCEL_CHANNEL:
            self.worker.on_cancel(*message.split(" ", 1))
        return 1

    def _time(self) -> list[bytes]:
        seconds, rest = divmod(time.time_ns(), 10**9)
        return [b"%d" % seconds, b"%d" % (rest // 1000)]

    def _zscore(self, key: str, member: str) -> bytes:
        del key, member  # every lease holds
        return _LEASE_END

    def _sadd(self, key: str, *members: str) -> int:
        del key  # no plan reads a set or a registry
        return len(members)

    def _zadd(self, key: str, *pairs: str | float) -> int:
        del key
        return len(pairs) // 2


def _encoded(value: str | bytes | float) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _request_id_in(key: str) -> str:
    """Return the request id in the hash tag of a key."""
    return key[key.index("{") + 1 : key.index("}")]
