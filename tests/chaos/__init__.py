"""Faults injected into real processes under load, with an audit of every event.

`make chaos` injects every fault at full size and prints the table of docs/reliability.md.
tests/integration/redis/test_chaos.py injects each fault once.
"""
