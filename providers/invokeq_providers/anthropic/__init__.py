"""Anthropic's models, by its Messages API."""

from invokeq_providers.anthropic.provider import AnthropicProvider

__all__ = ["AnthropicProvider"]
