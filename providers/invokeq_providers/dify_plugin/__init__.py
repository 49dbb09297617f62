"""Unmodified model plugins of Dify as providers, each in processes of its own."""

from invokeq_providers.dify_plugin.provider import DifyPluginProvider

__all__ = ["DifyPluginProvider"]
