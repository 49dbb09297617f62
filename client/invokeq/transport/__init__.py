"""Connect to Redis: one server, a Sentinel's master or a cluster; blocking and on asyncio.

The only package that opens connections to Redis, for client and worker alike. Knows commands,
replies and lost connections; plans, jobs and scripts live in `invokeq.operations` and in the
worker. Internal: may change without notice.
"""
