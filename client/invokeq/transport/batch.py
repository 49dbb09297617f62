"""The vocabulary of every transport: a batch, a stream wait, and the error of a lost connection."""

from collections.abc import Sequence
from typing import NamedTuple, Self

from invokeq.protocol.redis.resp import Command, Reply


class RedisConnectionLostError(Exception):
    """An exchange with Redis broke: no connection, no answer in time, or a refused login.

    Which commands of the batch the server has executed is unknown. `__cause__` is redis-py's error
    or an OSError; None for an exchange that timed out.
    """

    @classmethod
    def because_of(cls, error: Exception) -> Self:
        """Return the error with the text of `error`, which is also its cause."""
        lost = cls(str(error) or type(error).__name__)
        lost.__cause__ = error
        return lost


class StreamWait(NamedTuple):
    """A wait of up to `block_ms` for at most `limit` entries of a stream above the id `after`."""

    stream: str
    after: str
    limit: int
    block_ms: int

    def command(self) -> Command:
        """Return the wait as one XREAD; the reply is None when no entry came in time."""
        wait = ("COUNT", self.limit, "BLOCK", self.block_ms)
        return ("XREAD", *wait, "STREAMS", self.stream, self.after)


class Batch(NamedTuple):
    """Idempotent commands for one round trip, and optionally a wait after the commands.

    The reply to the wait comes last. A transport resends the batch after a lost connection for
    `retry_for_seconds`; 0 allows one retry at once, for a connection closed while idle.
    `segments` are the lengths of the independent batches joined in this batch.
    """

    commands: list[Command]
    retry_for_seconds: float = 0.0
    wait: StreamWait | None = None
    segments: tuple[int, ...] = ()

    def wait_reply(self, replies: Sequence[Reply]) -> Reply:
        """Return the reply to the wait, of the replies to the whole batch."""
        return replies[len(self.commands)]

    @property
    def all_commands(self) -> list[Command]:
        """All commands, with the wait as the last one, for a transport without a multiplexer."""
        return self.commands if self.wait is None else [*self.commands, self.wait.command()]
