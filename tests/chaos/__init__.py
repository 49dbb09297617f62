"""Faults injected into real processes under load, with an account of every event.

`make chaos` runs all of it and prints the table of docs/reliability.md; tests/integration/
test_chaos.py runs each fault once.
"""
