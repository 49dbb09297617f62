"""Our own processes in tests: workers, gateways, and programs in other
environments.

Servers live in `tests.support.servers`, fake vendors in `tests.support.vendors`.
"""
