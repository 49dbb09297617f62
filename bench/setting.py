"""The setting of a run: the server, the sizes, the subjects and the table of results."""

import sys
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from bench.reporting.result_table import ResultTable
from bench.subjects.catalog import Subject
from bench.subjects.processes import ChildError
from bench.subjects.running import Running, Workspace, running


@dataclass(frozen=True, slots=True)
class Sizes:
    """The sizes of all measures; times are in seconds. The defaults are for a whole run."""

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
        """Return the share of a count that this run does."""
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

    workspace: Workspace
    sizes: Sizes
    subjects: Sequence[Subject]
    table: ResultTable

    def say(self, text: str) -> None:
        """Print progress to stderr."""
        print(text, file=sys.stderr, flush=True)

    def erase(self) -> None:
        """Empty the server; call only while no subject runs."""
        with self.workspace.connect() as client:
            client.flushall()


@contextmanager
def all_running(
    setting: Setting, measure: str, *, places: int | None = None, streams: bool = False
) -> Generator[list[Running]]:
    """Run all subjects side by side, so that each can be measured while the others idle.

    A subject that does not start is left out; the reason goes into the remarks.
    """
    with ExitStack() as stack:
        setting.erase()
        up: list[Running] = []
        for subject in setting.subjects:
            if streams and not subject.streams:
                continue
            manager = running(setting.workspace, subject, places=places or subject.few)
            try:
                up.append(stack.enter_context(manager))
            except (ChildError, RuntimeError) as error:
                setting.table.remark(measure, f"{subject.name} does not start: {error}")
                setting.say(f"{subject.name} does not start: {error}")
        yield up
