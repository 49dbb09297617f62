"""Where the platform starts the plugin."""

from dify_plugin import DifyPluginEnv, Plugin

plugin = Plugin(DifyPluginEnv(MAX_REQUEST_TIMEOUT=120))

if __name__ == "__main__":
    print("ready when you are")  # noqa: T201 -- plugins do print
    plugin.run()
