"""Whether and when a worker process that ended is started again: decisions only, no processes."""

from dataclasses import dataclass
from typing import Final

from invokeq_worker.process.exit_status import MISCONFIGURED

FIRST_DELAY: Final = 1.0
LAST_DELAY: Final = 30.0
"""Seconds; the delay doubles from first to last, so that a fault that stays costs little."""

HEALTHY_AFTER: Final = 60.0
"""Seconds of life after which a process counts as having worked, and the delay starts anew."""

START_ATTEMPTS: Final = 5
"""A process that never worked is given up after this many starts, about 15 s, if it is alone."""


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """The bounds of restarting, all times in seconds."""

    first_delay: float = FIRST_DELAY
    last_delay: float = LAST_DELAY
    healthy_after: float = HEALTHY_AFTER
    start_attempts: int = START_ATTEMPTS


@dataclass(frozen=True, slots=True)
class History:
    """What is known of one place in the pool: short lives in a row, and whether it ever worked."""

    short_lives: int = 0
    has_worked: bool = False


@dataclass(frozen=True, slots=True)
class Restart:
    """Start it again after `delay` seconds."""

    delay: float
    history: History


@dataclass(frozen=True, slots=True)
class GiveUp:
    """It does not start at all; `attempts` were made."""

    attempts: int


@dataclass(frozen=True, slots=True)
class Finished:
    """It ended with status 0, because somebody asked it to: leave it."""


def decide_restart(
    policy: RestartPolicy, history: History, lived: float, status: int, others_live: bool
) -> Restart | GiveUp | Finished:
    """Decide about a process that nobody here told to end, `lived` seconds after its start.

    While others live, one that does not start is no reason to end them all; a wrong set-up is.
    """
    if status == 0:
        return Finished()
    if lived >= policy.healthy_after:
        return Restart(policy.first_delay, History(has_worked=True))
    deaths = history.short_lives + 1
    hopeless = status == MISCONFIGURED or (deaths >= policy.start_attempts and not others_live)
    if hopeless and not history.has_worked:
        return GiveUp(deaths)
    delay = min(policy.first_delay * 2.0 ** min(deaths - 1, 30), policy.last_delay)
    return Restart(delay, History(deaths, history.has_worked))
