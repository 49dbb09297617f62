"""Connect to Redis: blocking, asyncio, cluster, Sentinel.

Knows commands and replies, and nothing of invocations.

Internal: may change without notice.
"""
