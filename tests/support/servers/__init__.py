"""Real Redis servers for tests: the choice of servers, clusters, clients, and a proxy to cut.

Processes that use a server live in `tests.support.processes`.
"""
