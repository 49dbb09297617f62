"""Turn a caller's arguments into a validated request of the protocol.

Pure functions. Sending is the task of `operations`.

Internal: may change without notice.
"""
