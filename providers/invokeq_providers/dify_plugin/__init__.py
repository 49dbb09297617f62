"""Unmodified model plugins of Dify as providers; each plugin runs in separate processes.

The protocol and the processes of plugins live in `invokeq.dify.plugins`.
"""

from invokeq_providers.dify_plugin.provider import DifyPluginProvider

__all__ = ["DifyPluginProvider"]
