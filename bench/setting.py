"""What every measure gets, and how much of everything it does."""

import sys
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from bench.catalog import Subject
from bench.figures import Book
from bench.processes import ChildError
from bench.running import Place, Running, running


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured; times are in seconds. The defaults are for a whole run."""

    rounds: int = 3
    share: float = 1.0
    idle: float = 5.0
    idle_calls: int = 6
    streams: int = 500
    stream_seconds: float = 2.0
    many_streams: int = 1000
    many_seconds: float = 10.0
    flow_chunks: int = 100_000
    vendor_streams: int = 200
    vendor_chunks: int = 60
    texts: int = 1000
    enqueues: int = 4000
    held: int = 1000
    flood: int = 10_000
    lanes: int = 500

    def of(self, count: int) -> int:
        """Give the share of a count that this run does."""
        return max(5, int(count * self.share))


QUICK = Sizes(
    rounds=1,
    share=0.15,
    idle=1.0,
    idle_calls=2,
    streams=100,
    stream_seconds=1.0,
    many_streams=200,
    many_seconds=2.0,
    flow_chunks=10_000,
    vendor_streams=50,
    vendor_chunks=20,
    texts=200,
    enqueues=500,
    held=100,
    flood=1000,
    lanes=50,
)


@dataclass(frozen=True, slots=True)
class Setting:
    """One run of the bench."""

    place: Place
    sizes: Sizes
    subjects: Sequence[Subject]
    book: Book

    def say(self, text: str) -> None:
        """Tell whoever watches what is going on."""
        print(text, file=sys.stderr, flush=True)

    def erase(self) -> None:
        """Empty the server; for when nobody runs."""
        with self.place.connect() as client:
            client.flushall()


@contextmanager
def all_running(
    setting: Setting, measure: str, *, places: int | None = None, streams: bool = False
) -> Generator[list[Running]]:
    """Run all subjects side by side, so that they can be measured in turn; the others idle.

    One that does not start is left out, and the reason is written down.
    """
    with ExitStack() as stack:
        setting.erase()
        up: list[Running] = []
        for subject in setting.subjects:
            if streams and not subject.streams:
                continue
            manager = running(setting.place, subject, places=places or subject.few)
            try:
                up.append(stack.enter_context(manager))
            except (ChildError, RuntimeError) as error:
                setting.book.remark(measure, f"{subject.name} does not start: {error}")
                setting.say(f"{subject.name} does not start: {error}")
        yield up
