"""Anthropic's models through the Messages API: requests, events, errors and the provider."""

from invokeq_providers.anthropic.provider import AnthropicProvider

__all__ = ["AnthropicProvider"]
