"""The measured systems: their settings, environments and processes.

The jobs and clients that run in the environment of each peer live in `bench.peers`.
"""
