"""Passes the answer of a model on."""

from collections.abc import Generator
from typing import Any

from dify_plugin import Tool
from dify_plugin.entities.model.message import UserPromptMessage
from dify_plugin.entities.tool import ToolInvokeMessage


class AskTool(Tool):
    """Streams."""

    def _invoke(self, tool_parameters: dict[str, Any]) -> Generator[ToolInvokeMessage, None, None]:
        chunks = self.session.model.llm.invoke(
            model_config=tool_parameters["model"],
            prompt_messages=[UserPromptMessage(content=tool_parameters["prompt"])],
            stream=True,
        )
        for chunk in chunks:
            text = chunk.delta.message.content
            if isinstance(text, str) and text:
                yield self.create_text_message(text)
