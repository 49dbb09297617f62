"""The code that runs in the environments of the peers: the jobs, and the enqueueing clients.

Only the standard library, redis-py and the peer itself may be imported here.
"""
