"""Wrap providers in other providers: delegating, batching, shared embedding calls."""
