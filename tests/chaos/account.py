"""What became of each invocation: which events came, which did not, and who was told."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from invokeq.errors import InvokeqError, WorkerLostError

DONE = "done"


@dataclass(slots=True)
class Story:
    """One invocation as its reader saw it; chunks are numbered by the vendor, from 0."""

    chunks: int
    heard: int = 0
    doubled: int = 0
    disordered: int = 0
    missing: int = 0
    ended: str | None = None
    last_activity_at: float = field(default_factory=time.monotonic)

    def hear(self, index: int) -> None:
        """Take chunk `index`."""
        if index < self.heard:
            self.doubled += 1
        elif index > self.heard:
            self.disordered += 1
            self.missing += index - self.heard
        self.heard = max(self.heard, index + 1)
        self.last_activity_at = time.monotonic()

    def end(self, error: InvokeqError | None = None) -> None:
        """Take the end: whatever was promised and has not come by now is lost."""
        self.ended = DONE if error is None else type(error).__name__
        self.last_activity_at = time.monotonic()
        promised = self.chunks if error is None else self.heard
        if isinstance(error, WorkerLostError):
            promised = error.events or 0
        self.missing += max(0, promised - self.heard)


@dataclass(slots=True)
class Row:
    """One line of the table: a fault, how often, and what came of it."""

    fault: str
    times: int
    stories: Sequence[Story]
    recoveries: Sequence[float]

    @property
    def events(self) -> int:
        return sum(story.heard for story in self.stories)

    @property
    def lost(self) -> int:
        return sum(story.missing for story in self.stories)

    @property
    def doubled(self) -> int:
        return sum(story.doubled for story in self.stories)

    @property
    def disordered(self) -> int:
        return sum(story.disordered for story in self.stories)

    @property
    def unended(self) -> int:
        return sum(story.ended is None for story in self.stories)

    @property
    def errors(self) -> Counter[str]:
        """Count the typed errors by their names."""
        return Counter(s.ended for s in self.stories if s.ended not in (None, DONE))

    @property
    def recovery(self) -> float:
        """Seconds until the last stream that a fault had hit went on or ended, at worst."""
        return max(self.recoveries, default=0.0)

    def problems(self, allowed: Sequence[str]) -> list[str]:
        """Say what should not have been; `allowed` names the errors that the fault explains."""
        counts = {
            "lost": self.lost,
            "doubled": self.doubled,
            "out of order": self.disordered,
            "without an end": self.unended,
            **{name: n for name, n in self.errors.items() if name not in allowed},
        }
        return [f"{self.fault}: {count} {what}" for what, count in counts.items() if count]

    @classmethod
    def of(cls, fault: str, stories: Sequence[Story], recoveries: Sequence[float]) -> Self:
        return cls(fault, len(recoveries), stories, recoveries)
