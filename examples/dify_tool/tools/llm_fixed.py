"""Asks a model that this tool names itself: the config is built by hand."""

from collections.abc import Generator
from typing import Any

from dify_plugin import Tool
from dify_plugin.entities.model.llm import LLMModelConfig
from dify_plugin.entities.model.message import SystemPromptMessage, UserPromptMessage
from dify_plugin.entities.tool import ToolInvokeMessage

MODEL = LLMModelConfig(
    provider="local",
    model="smollm2",
    mode="chat",
    completion_params={"max_tokens": 128, "temperature": 0.0},
)


class FixedLLMTool(Tool):
    """Passes the answer on chunk by chunk."""

    def _invoke(self, tool_parameters: dict[str, Any]) -> Generator[ToolInvokeMessage, None, None]:
        chunks = self.session.model.llm.invoke(
            model_config=MODEL,
            prompt_messages=[
                SystemPromptMessage(content="You answer in one or two short sentences."),
                UserPromptMessage(content=tool_parameters["query"]),
            ],
            stream=True,
        )
        for chunk in chunks:
            text = chunk.delta.message.content
            if isinstance(text, str) and text:
                yield self.create_text_message(text)
