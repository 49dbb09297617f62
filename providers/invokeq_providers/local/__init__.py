"""Models that run inside the worker: no key, no network. One file a kind of model."""

from invokeq_providers.local.provider import LocalProvider

__all__ = ["LocalProvider"]
