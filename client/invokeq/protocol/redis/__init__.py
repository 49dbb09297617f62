"""Define how the protocol lies in Redis: keys, addresses, slots, RESP packing, RQ's time format.

No connection is opened here: see `invokeq.transport`. Internal: may change without notice.
"""
