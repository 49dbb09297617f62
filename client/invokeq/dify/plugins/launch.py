"""Runs as `python launch.py PARENT MODULE` in the plugin's own Python, and becomes the plugin.

Nothing of invokeq may be imported here, and nothing that Python 3.8 does not know used. The plugin
ends with the process that started it, and never has process 1 for a parent: the SDK takes that for
the death of its parent, but it is what a worker alone in a container is.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def _die_with(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != parent:
        os._exit(1)


def main() -> None:
    """Become the plugin, or the parent of it."""
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
