"""Unmodified Dify plugins: packages on disk, Python environments, and processes.

Here lives the SDK's protocol over stdin and stdout. Sessions and providers build on the folder and
are not imported here. Answers to the calls of a plugin live in `dify.platform` and `dify.reverse`.

Internal: may change without notice.
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
