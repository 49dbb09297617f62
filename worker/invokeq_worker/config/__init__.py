"""Read invokeq.toml into typed settings, and hold the value types that other parts share.

The ground floor: imports no engine, no streams and no Redis. Internal: may change without notice.
"""
