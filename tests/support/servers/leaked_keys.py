"""Find keys without an end of life in Redis."""

from collections.abc import Collection
from fnmatch import fnmatchcase

import redis


def leaked_keys(client: redis.Redis, permanent: Collection[str]) -> list[str]:
    """Return the sorted names of keys without a TTL that match no glob pattern of `permanent`."""
    names = [_text(key) for key in client.keys("*")]
    unexpected = [name for name in names if not any(fnmatchcase(name, p) for p in permanent)]
    # -1 is a key without a TTL; -2 is one that expired since it was listed.
    return sorted(name for name in unexpected if client.ttl(name) == -1)


def _text(key: object) -> str:
    return key.decode() if isinstance(key, bytes) else str(key)
