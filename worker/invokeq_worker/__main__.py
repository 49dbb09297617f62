"""Run one worker process of a pool, for the supervisor; people use `invokeq worker`."""

import argparse
import os
import signal
import sys
from pathlib import Path

from invokeq_worker.process.parent_death import die_with_parent


def main() -> int:
    """Tie the process to its parent first, then run the worker."""
    arguments = _parser().parse_args()
    die_with_parent(arguments.parent, signal.Signals(arguments.death_signal))
    # Slow imports come after: a parent that dies during them would leave an orphan.
    from invokeq_worker.config.loading import load_settings
    from invokeq_worker.engine.worker import run_worker
    from invokeq_worker.logs import configure_logging
    from invokeq_worker.process.exit_status import MISCONFIGURED, exit_on_error

    with exit_on_error(misconfigured=MISCONFIGURED):
        settings = load_settings(arguments.config)
        configure_logging(settings.log, settings.secrets())
        return run_worker(settings, arguments.pool, name=arguments.name, burst=arguments.burst)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m invokeq_worker", description=__doc__)
    parser.add_argument("--pool", required=True)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--name")
    parser.add_argument("--burst", action="store_true")
    parser.add_argument("--parent", type=int, default=os.getppid(), help="its process id")
    parser.add_argument("--death-signal", type=int, default=int(signal.SIGTERM))
    return parser


if __name__ == "__main__":
    sys.exit(main())
