"""Wrap providers in other providers: delegate, batch, share embedding calls.

Here live wrappers that last as long as a worker. Retries last for one invocation, and live in the
worker.

Internal: may change without notice.
"""
