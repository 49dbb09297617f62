"""Runs Dify plugins as processes and stands in for their platform, for `invokeq plugin run`."""

from invokeq.dify.platform.catalog import Catalog, Plugin, load_plugin
from invokeq.dify.platform.messages import blob_of
from invokeq.dify.platform.plugin_platform import PlatformOptions, PluginPlatform

__all__ = ["Catalog", "PlatformOptions", "Plugin", "PluginPlatform", "blob_of", "load_plugin"]
