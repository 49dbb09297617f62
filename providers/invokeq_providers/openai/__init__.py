"""OpenAI's models, and every server that speaks the same API (`base_url`). One file a kind."""

from invokeq_providers.openai.provider import OpenAIProvider

__all__ = ["OpenAIProvider"]
