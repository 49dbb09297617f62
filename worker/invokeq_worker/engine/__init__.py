"""Run invocations: claim, execute, finalize, send heartbeats, reap.

Settings come from `config`, connections from `redis`, streams from `streams`. Internal: may change
without notice.
"""
