"""Call the Lua scripts, and check the server before a worker starts.

Connections come from `invokeq.transport`; runs and providers are unknown here. Internal: may change
without notice.
"""
