"""A tool that yields one message of every type."""

from collections.abc import Generator
from typing import Any

from dify_plugin import Tool
from dify_plugin.entities.tool import ToolInvokeMessage

START = ToolInvokeMessage.LogMessage.LogStatus.START


class SayTool(Tool):
    """Has no parameters."""

    def _invoke(self, tool_parameters: dict[str, Any]) -> Generator[ToolInvokeMessage, None, None]:
        yield self.create_text_message("one ")
        yield self.create_text_message("line")
        yield self.create_json_message({"answer": 42, "list": [1, 2.5, None]})
        yield self.create_link_message("https://example.org/a")
        yield self.create_image_message("https://example.org/i.png")
        yield self.create_variable_message("plain", {"a": 1})
        yield self.create_stream_variable_message("streamed", "first ")
        yield self.create_stream_variable_message("streamed", "second")
        log = self.create_log_message(
            "working", {"step": 1}, ToolInvokeMessage.LogMessage.LogStatus.START
        )
        yield log
        yield self.finish_log_message(log)
        blob = bytes(range(256)) * 100
        yield self.create_blob_message(blob, {"mime_type": "image/png", "filename": "../../up.png"})
        yield self.create_blob_message(b"", {"mime_type": "text/plain"})
