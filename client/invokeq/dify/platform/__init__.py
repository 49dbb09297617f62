"""The platform of plugin processes, for `invokeq plugin run` and hosts of your own.

Here live the declarations of tools and agent strategies, the reading of parameters, local files,
and PluginPlatform, which runs tools and answers the calls of plugins. The processes themselves live
in `dify.plugins`, the answers to calls of models in `dify.reverse`.

Internal: may change without notice.
"""

from invokeq.dify.platform.catalog import Catalog, Plugin, load_plugin
from invokeq.dify.platform.messages import blob_of
from invokeq.dify.platform.plugin_platform import PlatformOptions, PluginPlatform

__all__ = ["Catalog", "PlatformOptions", "Plugin", "PluginPlatform", "blob_of", "load_plugin"]
