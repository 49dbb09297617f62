"""Runs Dify plugins as processes and stands in for their platform, for `invokeq plugin run`."""

from invokeq.dify.host.catalog import Catalog, Plugin, load_plugin
from invokeq.dify.host.host import HostOptions, PluginHost
from invokeq.dify.host.messages import blob_of

__all__ = ["Catalog", "HostOptions", "Plugin", "PluginHost", "blob_of", "load_plugin"]
