"""When a worker process that ended is started again."""

import pytest

from invokeq_worker.process.exit_status import MISCONFIGURED
from invokeq_worker.process.restarts import (
    Finished,
    GiveUp,
    History,
    Restart,
    RestartPolicy,
    decide_restart,
)

POLICY = RestartPolicy()
KILLED = -9


def delays(count: int, *, lived: float = 0.1) -> list[float]:
    """The delays after so many deaths in a row, of a process whose siblings live."""
    history, found = History(), list[float]()
    for _ in range(count):
        decision = decide_restart(POLICY, history, lived, KILLED, True)
        assert isinstance(decision, Restart)
        found.append(decision.delay)
        history = decision.history
    return found


def test_the_delay_doubles_up_to_half_a_minute() -> None:
    assert delays(8) == [1, 2, 4, 8, 16, 30, 30, 30]


def test_a_thousand_deaths_do_not_overflow_the_delay() -> None:
    assert delays(1100)[-1] == 30


def test_a_minute_of_life_starts_the_delay_anew() -> None:
    history = History(short_lives=7)
    assert decide_restart(POLICY, history, 59.9, KILLED, True) == Restart(30, History(8))
    assert decide_restart(POLICY, history, 60.0, KILLED, True) == Restart(
        1, History(0, has_worked=True)
    )


def test_status_zero_was_asked_for() -> None:
    assert decide_restart(POLICY, History(), 0.1, 0, False) == Finished()
    assert decide_restart(POLICY, History(4), 100, 0, True) == Finished()


def test_one_that_never_worked_is_given_up_at_the_fifth_start() -> None:
    assert decide_restart(POLICY, History(3), 0.1, 1, False) == Restart(8, History(4))
    assert decide_restart(POLICY, History(4), 0.1, 1, False) == GiveUp(5)


def test_it_is_not_given_up_while_others_live() -> None:
    assert decide_restart(POLICY, History(4), 0.1, 1, True) == Restart(16, History(5))


def test_one_that_has_worked_is_never_given_up() -> None:
    history = History(50, has_worked=True)
    for status in (1, KILLED, MISCONFIGURED):
        decision = decide_restart(POLICY, history, 0.1, status, False)
        assert decision == Restart(30, History(51, has_worked=True))


@pytest.mark.parametrize("others_live", [True, False])
def test_a_wrong_configuration_is_given_up_at_once(others_live: bool) -> None:
    assert decide_restart(POLICY, History(), 0.1, MISCONFIGURED, others_live) == GiveUp(1)
