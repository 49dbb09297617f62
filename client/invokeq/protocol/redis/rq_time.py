"""Times in the format of RQ's hashes."""

from datetime import UTC, datetime


def iso(at: float) -> str:
    """Return seconds since the epoch in RQ's format: UTC with microseconds and a Z."""
    # RQ's parser knows only the Z: with `+00:00` the job could not be read.
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
