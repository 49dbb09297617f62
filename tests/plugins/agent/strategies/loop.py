"""One round of an agent: asks, and calls the tools that the model names."""

import json
from collections.abc import Generator
from typing import Any

from dify_plugin.entities.agent import AgentInvokeMessage
from dify_plugin.entities.model.llm import LLMModelConfig
from dify_plugin.entities.model.message import AssistantPromptMessage, UserPromptMessage
from dify_plugin.entities.tool import ToolProviderType
from dify_plugin.interfaces.agent import AgentModelConfig, AgentStrategy, ToolEntity
from pydantic import BaseModel

START = AgentInvokeMessage.LogMessage.LogStatus.START


class LoopParams(BaseModel):
    """What the strategy is given."""

    query: str
    model: AgentModelConfig
    tools: list[ToolEntity]
    maximum_iterations: int = 3


class LoopStrategy(AgentStrategy):
    """An agent strategy with the given parameters in the log."""

    def _invoke(self, parameters: dict[str, Any]) -> Generator[AgentInvokeMessage, None, None]:
        params = LoopParams(**parameters)
        facts = params.model.entity
        seen = {
            "tools": [tool.identity.name for tool in params.tools],
            "features": [feature.value for feature in facts.features or []] if facts else None,
            "history": params.model.history_prompt_messages,
        }
        log = self.create_log_message("round 1", seen, START)
        yield log
        calls: list[AssistantPromptMessage.ToolCall] = []
        for chunk in self.session.model.llm.invoke(
            model_config=LLMModelConfig(**params.model.model_dump(mode="json")),
            prompt_messages=[UserPromptMessage(content=params.query)],
            tools=self._init_prompt_tools(params.tools),
            stream=True,
        ):
            calls += chunk.delta.message.tool_calls
            text = chunk.delta.message.content
            if isinstance(text, str) and text:
                yield self.create_text_message(text)
        known = {tool.identity.name: tool for tool in params.tools}
        for call in calls:
            tool = known[call.function.name]
            arguments = {**tool.runtime_parameters, **json.loads(call.function.arguments)}
            for message in self.session.tool.invoke(
                ToolProviderType.BUILT_IN, tool.identity.provider, tool.identity.name, arguments
            ):
                yield self.create_json_message(message.model_dump(mode="json"))
        yield self.finish_log_message(log)
