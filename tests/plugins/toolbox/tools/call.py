"""Makes a call by its name, or fails in the way that is asked for."""

import os
import sys
from collections.abc import Generator
from typing import Any

from dify_plugin import Tool
from dify_plugin.entities.model.text_embedding import TextEmbeddingModelConfig
from dify_plugin.entities.model.tts import TTSModelConfig
from dify_plugin.entities.tool import ToolInvokeMessage, ToolProviderType


class CallTool(Tool):
    """A tool with the received results, and errors, as output."""

    def _invoke(self, tool_parameters: dict[str, Any]) -> Generator[ToolInvokeMessage, None, None]:
        what = tool_parameters["what"]
        if what == "raise":
            raise ValueError("it is broken by design")
        if what == "crash":
            sys.stderr.write("last words\n")
            sys.stderr.flush()
            os._exit(7)
        if what == "tool":
            yield from self._call_tools()
            return
        try:
            told = str(self._answer(what))
        except Exception as error:  # noqa: BLE001 -- the SDK raises nothing narrower
            told = f"{type(error).__name__}: {error}"
        yield self.create_text_message(told)

    def _answer(self, what: str) -> object:
        if what == "tts":
            voice = TTSModelConfig(provider="scripted", model="silence", voice="alpha")
            return list(self.session.model.tts.invoke(voice, "hi"))
        if what == "embed":
            hasher = TextEmbeddingModelConfig(provider="scripted", model="hash")
            return len(self.session.model.text_embedding.invoke(hasher, ["a", "b"]).embeddings)
        if what == "storage":
            return self.session.storage.get("key")
        if what == "app":
            apps: Any = self.session.app
            return apps.fetch_app("some-app")
        if what == "workflow":
            return list(self.session.tool.invoke_workflow_tool("some", "flow", {}))
        return list(self.session.tool.invoke_builtin_tool("nobody", "nothing", {}))

    def _call_tools(self) -> Generator[ToolInvokeMessage, None, None]:
        given = {"text": "hi", "count": "3"}
        yield from self.session.tool.invoke(
            ToolProviderType.BUILT_IN, "acme/toolbox/toolbox", "shape", given
        )
        for message in self.session.tool.invoke_builtin_tool("toolbox", "say", {}):
            content = message.message
            if isinstance(content, ToolInvokeMessage.BlobMessage):
                yield self.create_text_message(f"blob of {len(content.blob)}; ")
