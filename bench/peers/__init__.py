"""What runs in the environments of the peers: the jobs, and the clients that enqueue them.

Only the standard library, redis-py and the peer itself may be imported here.
"""
