"""Times as RQ writes them into its hashes."""

from datetime import UTC, datetime


def iso(at: float) -> str:
    """Give seconds since the epoch in RQ's format: UTC with microseconds and a Z."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
