"""OpenAI's models, and every server with the same API (`base_url`). One file a kind.

Internal: may change without notice.
"""

from invokeq_providers.openai.provider import OpenAIProvider

__all__ = ["OpenAIProvider"]
