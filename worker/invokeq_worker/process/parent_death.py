"""Makes a process end with the one that started it, however that one ends."""

import ctypes
import os
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


def die_with_parent(parent: int, number: signal.Signals) -> None:
    """Have the kernel send `number` to this process when its parent ends; Linux only.

    `parent` is the process id of the parent as it knows it itself: if that one is gone before the
    kernel has been asked, this process ends here. Elsewhere than on Linux nothing happens.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(number))
    if os.getppid() != parent:
        sys.exit(f"error: the parent process {parent} has gone")
