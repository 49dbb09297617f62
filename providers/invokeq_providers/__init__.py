"""Everything that talks to models: one file a provider, and what all of them share.

Nothing here sees Redis or RQ, and importing this package imports no vendor's SDK.

Internal: all modules but this package's own names may change without notice.
"""

from invokeq_providers.base import LLMCall, Provider
from invokeq_providers.calls.llm import prepare_llm
from invokeq_providers.chat.collect import collect
from invokeq_providers.models.usage import usage_from_tokens
from invokeq_providers.registry import (
    build_providers,
    canonical_provider,
    find_provider,
    provider_types,
)

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
