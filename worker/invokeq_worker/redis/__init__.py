"""Connect the worker to Redis and call the Lua scripts.

Knows nothing of invocations but the arguments of the scripts.
"""
