"""Stand between a run and the provider: retries, fallbacks, usage.

Nothing here talks to Redis. Providers live in `invokeq_providers`, the policy in `config`.

Internal: may change without notice.
"""
