"""Times as RQ writes them into its hashes."""

from datetime import UTC, datetime


def iso(at: float) -> str:
    """Give seconds since the epoch in RQ's format: UTC with microseconds and a Z."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
