"""Decide whether and when an ended worker process is started again. Pure: no processes here."""

from dataclasses import dataclass
from typing import Final

from invokeq_worker.process.exit_status import MISCONFIGURED

FIRST_DELAY: Final = 1.0
LAST_DELAY: Final = 30.0
"""Seconds; the delay doubles from first to last, so that a lasting fault costs little."""

HEALTHY_AFTER: Final = 60.0
"""Seconds of life after which a process counts as working, and the delay is reset."""

START_ATTEMPTS: Final = 5
"""Starts, in about 15 s, after which a lone process is given up unless one has worked."""


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """The bounds of restarting, all times in seconds."""

    first_delay: float = FIRST_DELAY
    last_delay: float = LAST_DELAY
    healthy_after: float = HEALTHY_AFTER
    start_attempts: int = START_ATTEMPTS


@dataclass(frozen=True, slots=True)
class History:
    """The past of one place in the pool: short lives in a row, and whether one process worked."""

    short_lives: int = 0
    has_worked: bool = False


@dataclass(frozen=True, slots=True)
class Restart:
    """Start the process again after `delay` seconds."""

    delay: float
    history: History


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Give up: the process does not start; `attempts` were made."""

    attempts: int


@dataclass(frozen=True, slots=True)
class Finished:
    """Do nothing: the process ended with status 0, as asked."""


def decide_restart(
    policy: RestartPolicy, history: History, lived: float, status: int, others_live: bool
) -> Restart | GiveUp | Finished:
    """Decide about a process that ended on its own, `lived` seconds after the start.

    While other processes live, a failing start must not end all. Wrong settings do, since every
    process has the same settings.
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
