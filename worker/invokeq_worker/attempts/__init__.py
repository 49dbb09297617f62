"""Run one attempt of one invocation: decode, call the provider, emit events, finalize.

Claiming, heartbeats and reaping are in `engine`. Internal: may change without notice.
"""
