"""Everything that talks to models: one file a provider, and what all of them share.

Nothing here sees Redis or RQ, and importing this package imports no vendor's SDK.
"""

from invokeq_providers.base import LLMCall, Provider
from invokeq_providers.collect import collect
from invokeq_providers.prepare import prepare_llm
from invokeq_providers.registry import (
    build_providers,
    canonical_provider,
    find_provider,
    provider_types,
)
from invokeq_providers.usage import usage_from_tokens

__all__ = [
    "LLMCall",
    "Provider",
    "build_providers",
    "canonical_provider",
    "collect",
    "find_provider",
    "prepare_llm",
    "provider_types",
    "usage_from_tokens",
]
