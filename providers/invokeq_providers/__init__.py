"""Providers: the code that talks to vendors and to local models.

Public: the names exported here, `base` with the base class and the calls of a provider,
`call_methods`, `chunks`, `options`, and `calls` for the outputs of a kind. A third party's provider
or kind of call needs no other module.

Here live vendors (`openai`, `anthropic`, `cohere`, `jina`, `dify_plugin`), models inside the worker
(`local`), a fake vendor (`scripted`), and the parts shared by vendors: `calls` serves one kind of
call in each file, `chat` translates OpenAI's shape, `http` sends requests, `models` holds facts and
prices, `wrappers` stand in front of providers. Redis, RQ and retries live in the worker. Importing
the package imports no SDK of a vendor.

Internal: every other module may change without notice.
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
