"""Implement the worker's subcommands of `invokeq`."""
