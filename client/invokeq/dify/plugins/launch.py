"""Runs as `python launch.py PARENT MODULE` in the plugin's own Python, and becomes the plugin.

The file must not import invokeq and must run on Python 3.8. The plugin ends with the starting
process. The plugin's parent is never process 1: to the SDK a parent 1 means a dead parent, but a
worker alone in a container is process 1.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def _die_with(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != parent:  # the parent died before prctl took effect
        os._exit(1)


def main() -> None:
    """Become the plugin, or the parent of the plugin."""
    parent, module = int(sys.argv[1]), sys.argv[2]
    _die_with(parent)
    if parent == 1:
        own = os.getpid()
        child = os.fork()
        if child:
            _, status = os.waitpid(child, 0)
            os._exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))
        _die_with(own)
    os.execv(sys.executable, [sys.executable, "-m", module])


if __name__ == "__main__":
    main()
