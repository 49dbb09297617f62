"""A tool that returns the given parameters."""

from collections.abc import Generator
from typing import Any

from dify_plugin import Tool
from dify_plugin.entities.tool import ToolInvokeMessage


class ShapeTool(Tool):
    """Reads its file, too."""

    def _invoke(self, tool_parameters: dict[str, Any]) -> Generator[ToolInvokeMessage, None, None]:
        seen = {
            name: value.blob.decode() if name == "document" else value
            for name, value in tool_parameters.items()
        }
        who = {"user": self.runtime.user_id, "credentials": self.runtime.credentials}
        yield self.create_json_message({"parameters": seen, **who})
