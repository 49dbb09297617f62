"""Runs unmodified Dify plugins: reads their packages, makes their environments, is their platform.

Knows plugins and their protocol only: neither sessions nor providers, which both build on it.
"""

from invokeq.plugins.environment import prepare_environment
from invokeq.plugins.interpreters import find_interpreter
from invokeq.plugins.manifest import PluginManifest
from invokeq.plugins.package import PluginPackage, load_package
from invokeq.plugins.process import PluginProcess
from invokeq.plugins.session import OnReverse

__all__ = [
    "OnReverse",
    "PluginManifest",
    "PluginPackage",
    "PluginProcess",
    "find_interpreter",
    "load_package",
    "prepare_environment",
]
