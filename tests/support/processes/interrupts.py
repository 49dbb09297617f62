"""SIGINT for child processes of tests, also when the tests run in the background."""

import signal
from types import FrameType


def let_children_be_interrupted() -> None:
    """Let SIGINT end child processes.

    A shell without job control starts background jobs with SIGINT ignored (`nohup make test &`).
    An ignored signal stays ignored over `exec`, in every child. A handler does not: `exec` resets
    a handled signal to the default. So an empty handler keeps the shell's choice for the test
    process, and gives children the default.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, _keep_running)


def _keep_running(number: int, frame: FrameType | None) -> None:
    """Ignore the signal."""
