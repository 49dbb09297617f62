"""End a process together with the parent, even if the parent is killed."""

import ctypes
import os
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


def die_with_parent(parent: int, number: signal.Signals) -> None:
    """Have the kernel send `number` to this process when the parent ends.

    `parent` is the process id passed on by the parent. A no-op on systems other than Linux.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(number))
    # The parent may have died before prctl, and the kernel would never send the signal.
    if os.getppid() != parent:
        sys.exit(f"error: the parent process {parent} has gone")
