"""Manage processes: supervisor, restarts, the embedded server, the death of the parent.

Internal: may change without notice.
"""
