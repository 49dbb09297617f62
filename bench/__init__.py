"""Measure invokeq beside other job queues: `python -m bench`, see bench/README.md.

Measures live in `bench.measures`, the measured systems in `bench.subjects` and `bench.peers`.
"""
