"""The audit of each invocation: received, lost and repeated events, and how the stream ended."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from invokeq.errors import InvokeqError, WorkerLostError

DONE = "done"


@dataclass(slots=True)
class StreamAudit:
    """One invocation as the reader saw its events; the vendor numbers chunks from 0."""

    chunks: int
    received: int = 0
    doubled: int = 0
    disordered: int = 0
    missing: int = 0
    ended: str | None = None
    last_activity_at: float = field(default_factory=time.monotonic)

    def receive(self, index: int) -> None:
        """Record chunk `index`."""
        if index < self.received:
            self.doubled += 1
        elif index > self.received:
            self.disordered += 1
            self.missing += index - self.received
        self.received = max(self.received, index + 1)
        self.last_activity_at = time.monotonic()

    def end(self, error: InvokeqError | None = None) -> None:
        """Record the end; count every promised event that is still missing as lost."""
        self.ended = DONE if error is None else type(error).__name__
        self.last_activity_at = time.monotonic()
        promised = self.chunks if error is None else self.received
        if isinstance(error, WorkerLostError):
            promised = error.events or 0
        self.missing += max(0, promised - self.received)


@dataclass(slots=True)
class FaultReport:
    """One line of the table: a fault, the number of injections, and the audits of all streams."""

    fault: str
    times: int
    audits: Sequence[StreamAudit]
    recoveries: Sequence[float]

    @property
    def events(self) -> int:
        return sum(audit.received for audit in self.audits)

    @property
    def lost(self) -> int:
        return sum(audit.missing for audit in self.audits)

    @property
    def doubled(self) -> int:
        return sum(audit.doubled for audit in self.audits)

    @property
    def disordered(self) -> int:
        return sum(audit.disordered for audit in self.audits)

    @property
    def unfinished(self) -> int:
        return sum(audit.ended is None for audit in self.audits)

    @property
    def errors(self) -> Counter[str]:
        """The number of typed errors by class name."""
        return Counter(s.ended for s in self.audits if s.ended not in (None, DONE))

    @property
    def recovery(self) -> float:
        """The slowest recovery: seconds until the last affected stream went on or ended."""
        return max(self.recoveries, default=0.0)

    def problems(self, allowed: Sequence[str]) -> list[str]:
        """Return the broken promises; `allowed` names the errors that the fault explains."""
        counts = {
            "lost": self.lost,
            "doubled": self.doubled,
            "out of order": self.disordered,
            "without an end": self.unfinished,
            **{name: n for name, n in self.errors.items() if name not in allowed},
        }
        return [f"{self.fault}: {count} {what}" for what, count in counts.items() if count]

    @classmethod
    def of(cls, fault: str, audits: Sequence[StreamAudit], recoveries: Sequence[float]) -> Self:
        return cls(fault, len(recoveries), audits, recoveries)
