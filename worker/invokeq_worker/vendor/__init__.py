"""Stand between a run and its provider: retries, fallbacks, usage.

Nothing here talks to Redis.
"""
