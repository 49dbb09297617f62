"""Plans: the commands that a client sends to Redis and the use of the replies, without any I/O.

A plan is a generator: each `yield` hands out a batch of commands and returns the replies, in one
round trip. The sync and the async transport differ only in the execution of a batch (see
`invokeq.transport.blocking` and `invokeq.transport.aio`).
"""

from collections.abc import Generator, Sequence
from typing import NewType, TypeAlias, TypeVar, cast

from invokeq.protocol.errors import InvokeqError
from invokeq.protocol.redis.resp import Command, Reply
from invokeq.transport.batch import Batch

T = TypeVar("T")

Plan: TypeAlias = Generator[Batch, list[Reply], T]


Slot = NewType("Slot", int)
"""Names the reply to one command of a `CommandList`."""


class CommandList(list[Command]):
    """The commands of one batch, and the mapping of replies to commands.

    Commands between `begin()` and `commit()` are one transaction, at most one in a list. Redis
    replies to the commands of a transaction together, as the reply to EXEC.
    """

    __slots__ = ("_exec", "_multi")

    def __init__(self) -> None:
        super().__init__()
        self._multi = self._exec = -1

    def add(self, *command: str | bytes | float) -> Slot:
        """Append a command; return the slot of the reply."""
        self.append(command)
        return Slot(len(self) - 1)

    def begin(self) -> None:
        """Begin the transaction."""
        self._multi = len(self)
        self.append(_MULTI)

    def commit(self) -> None:
        """End the transaction."""
        self._exec = len(self)
        self.append(_EXEC)

    def reply(self, slot: Slot, replies: Sequence[Reply]) -> Reply:
        """Return the reply to one command, of the replies to the whole list."""
        # Within the transaction the server replies QUEUED to each command; the real replies are
        # the list in the reply to EXEC.
        if self._multi < slot < self._exec:
            return replies[self._exec][slot - self._multi - 1]
        return replies[slot]


_MULTI: Command = ("MULTI",)
_EXEC: Command = ("EXEC",)


def gather_plans(plans: Sequence[Plan[T]]) -> Plan[list[T | InvokeqError]]:
    """Run plans without waits together: one round trip is the next step of every plan.

    Returns the result of each plan, or the InvokeqError raised by the plan. Any other exception of
    a plan ends all plans.
    """
    outcomes: list[T | InvokeqError | None] = [None] * len(plans)
    batches: dict[int, Batch] = {}

    def advance(index: int, replies: list[Reply] | None) -> None:
        try:
            plan = plans[index]
            batches[index] = next(plan) if replies is None else plan.send(replies)
        except StopIteration as stop:
            outcomes[index] = stop.value
        except InvokeqError as error:
            outcomes[index] = error

    for index in range(len(plans)):
        advance(index, None)
    while batches:
        sent, batches = batches, {}
        commands = [command for batch in sent.values() for command in batch.commands]
        retry_for_seconds = max(batch.retry_for_seconds for batch in sent.values())
        # Segments mark where each plan's commands begin: on a cluster only the commands of one plan
        # must wait for one another.
        segments = tuple(len(batch.commands) for batch in sent.values())
        replies = yield Batch(commands, retry_for_seconds, segments=segments)
        at = 0
        for index, batch in sent.items():
            end = at + len(batch.commands)
            advance(index, replies[at:end])
            at = end
    return cast(list[T | InvokeqError], outcomes)
