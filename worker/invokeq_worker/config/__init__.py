"""Read invokeq.toml into typed settings, and hold the shared value types.

The ground floor: imports no engine, no streams and no Redis. Internal: may change without notice.
"""
