"""The provider of the strategy."""

from dify_plugin.interfaces.agent import AgentProvider


class LoopProvider(AgentProvider):
    """Needs nothing of its own."""
