"""Define how the protocol lies in Redis: keys, addresses, RESP packing, RQ's time format.

No connection is opened here.
"""
