"""End leftover processes of a failed test."""

import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch


@contextmanager
def end_processes_on_failure() -> Generator[None]:
    """Kill every unfinished process of the block, if the block raises.

    Otherwise such a process runs on beside later tests, and the warning about the open pipes fails
    a later test at garbage collection. After a success no leak is hidden: a leftover process still
    fails the run as an unclosed resource.
    """
    started: list[subprocess.Popen[Any]] = []
    start = subprocess.Popen.__init__

    def record(process: subprocess.Popen[Any], *args: Any, **options: Any) -> None:
        start(process, *args, **options)
        started.append(process)

    with patch.object(subprocess.Popen, "__init__", record):
        try:
            yield
        except BaseException:
            for process in started:
                _end(process)
            raise


def _end(process: subprocess.Popen[Any]) -> None:
    if process.poll() is None:
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None and not pipe.closed:
            pipe.close()
