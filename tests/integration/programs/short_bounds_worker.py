"""A worker with short bounds: a lease of 0.6 s, renewed every 0.1 s, instead of 5 s and 1 s."""

import sys
from pathlib import Path

from invokeq_worker.config.loading import load_settings
from invokeq_worker.engine import claimer, heartbeat
from invokeq_worker.engine.worker import run_worker


def main() -> int:
    heartbeat.REFRESH = 0.1  # type: ignore[misc]
    heartbeat.LEASE_MS = 600  # type: ignore[misc]
    heartbeat.TIMEOUT = 0.5  # type: ignore[misc]
    claimer.BLOCK = 1.0  # type: ignore[misc]
    return run_worker(load_settings(Path(sys.argv[1])), "main", name=sys.argv[2])


if __name__ == "__main__":
    sys.exit(main())
