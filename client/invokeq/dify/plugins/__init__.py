"""Runs unmodified Dify plugins: reads their packages, makes their environments, is their platform.

Knows plugins and their protocol only: neither sessions nor providers, which both build on it.
"""

from invokeq.dify.plugins.environment import prepare_environment
from invokeq.dify.plugins.interpreters import find_interpreter
from invokeq.dify.plugins.manifest import PluginManifest
from invokeq.dify.plugins.package import PluginPackage, load_package
from invokeq.dify.plugins.process import PluginProcess
from invokeq.dify.plugins.process_session import OnReverse

__all__ = [
    "OnReverse",
    "PluginManifest",
    "PluginPackage",
    "PluginProcess",
    "find_interpreter",
    "load_package",
    "prepare_environment",
]
