"""Implement the worker's subcommands of `invokeq`; `cli` registers them.

Internal: may change without notice.
"""
