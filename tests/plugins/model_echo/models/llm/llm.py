"""A language model that says again what it hears: words in, the same words out, counted."""

import json
import os
import threading
from collections.abc import Generator, Mapping
from typing import Any

from dify_plugin import LargeLanguageModel
from dify_plugin.entities import I18nObject
from dify_plugin.entities.model import (
    AIModelEntity,
    FetchFrom,
    ModelPropertyKey,
    ModelType,
)
from dify_plugin.entities.model.llm import LLMResult, LLMResultChunk, LLMResultChunkDelta
from dify_plugin.entities.model.message import (
    AssistantPromptMessage,
    PromptMessage,
    PromptMessageTool,
)
from dify_plugin.errors.model import InvokeError
from models.shared import ERROR_MAPPING, check_call, check_key

DEFAULT_MAX_TOKENS = 512


def _text(message: PromptMessage) -> str:
    if isinstance(message.content, str):
        return message.content
    parts = message.content or []
    return " ".join(getattr(part, "data", "") or "" for part in parts if part.type.value == "text")


def _words(text: str) -> list[str]:
    """Cut a text into words that keep the blanks before them."""
    words: list[str] = []
    for char in text:
        if words and (not char.isspace() or words[-1].isspace()):
            words[-1] += char
        else:
            words.append(char)
    return words


class EchoLargeLanguageModel(LargeLanguageModel):
    """`fail: ...` fails, `crash` ends the process, `wait` never ends, `call NAME {...}` calls."""

    def _invoke(
        self,
        model: str,
        credentials: dict[str, Any],
        prompt_messages: list[PromptMessage],
        model_parameters: dict[str, Any],
        tools: list[PromptMessageTool] | None = None,
        stop: list[str] | None = None,
        stream: bool = True,
        user: str | None = None,
    ) -> LLMResult | Generator[LLMResultChunk, None, None]:
        del user
        text = _text(prompt_messages[-1])
        check_call(credentials, text)
        answer = self._answer(model, credentials, prompt_messages, model_parameters, tools, stop)
        if stream:
            return answer
        chunks = list(answer)
        said = "".join(str(chunk.delta.message.content) for chunk in chunks)
        calls = [call for chunk in chunks for call in chunk.delta.message.tool_calls]
        usage = chunks[-1].delta.usage
        assert usage is not None
        message = AssistantPromptMessage(content=said, tool_calls=calls)
        return LLMResult(model=model, prompt_messages=[], message=message, usage=usage)

    def _answer(
        self,
        model: str,
        credentials: dict[str, Any],
        prompt_messages: list[PromptMessage],
        model_parameters: dict[str, Any],
        tools: list[PromptMessageTool] | None,
        stop: list[str] | None,
    ) -> Generator[LLMResultChunk, None, None]:
        text = _text(prompt_messages[-1])
        if tools and text.startswith("call "):
            yield self._tool_call(model, credentials, prompt_messages, text, tools)
            return
        if stop:
            text = text[: min([text.find(word) for word in stop if word in text] or [len(text)])]
        words = _words(text)
        limit = int(model_parameters.get("max_tokens") or DEFAULT_MAX_TOKENS)
        said = words[:limit]
        for index, word in enumerate(said):
            if "crash" in word:
                print("about to crash", flush=True)  # noqa: T201 -- plugins do print
                os._exit(3)
            if "wait" in word:
                threading.Event().wait()
            if "break" in word:
                raise RuntimeError(f"it broke, key {credentials['api_key']}")
            yield self._chunk(model, index, word)
        reason = "length" if len(words) > limit else "stop"
        yield self._last(model, credentials, prompt_messages, len(said), reason)

    def _tool_call(
        self,
        model: str,
        credentials: dict[str, Any],
        prompt_messages: list[PromptMessage],
        text: str,
        tools: list[PromptMessageTool],
    ) -> LLMResultChunk:
        _, name, arguments = [*text.split(" ", 2), "{}"][:3]
        if name not in {tool.name for tool in tools}:
            raise ValueError(f"no tool is called {name}")
        function = AssistantPromptMessage.ToolCall.ToolCallFunction(
            name=name, arguments=json.dumps(json.loads(arguments))
        )
        call = AssistantPromptMessage.ToolCall(id="call-1", type="function", function=function)
        last = self._last(model, credentials, prompt_messages, 0, "tool_calls")
        last.delta.message.tool_calls = [call]
        return last

    def _chunk(self, model: str, index: int, text: str) -> LLMResultChunk:
        message = AssistantPromptMessage(content=text)
        delta = LLMResultChunkDelta(index=index, message=message)
        return LLMResultChunk(model=model, prompt_messages=[], delta=delta)

    def _last(
        self,
        model: str,
        credentials: dict[str, Any],
        prompt_messages: list[PromptMessage],
        words: int,
        reason: str,
    ) -> LLMResultChunk:
        chunk = self._chunk(model, words, "")
        prompt = self.get_num_tokens(model, credentials, prompt_messages)
        chunk.delta.usage = self._calc_response_usage(model, credentials, prompt, words)
        chunk.delta.finish_reason = reason
        return chunk

    def get_num_tokens(
        self,
        model: str,
        credentials: dict[str, Any],
        prompt_messages: list[PromptMessage],
        tools: list[PromptMessageTool] | None = None,
    ) -> int:
        del model, credentials, tools
        if any("uncountable" in _text(message) for message in prompt_messages):
            raise LookupError("its tokenizer cannot be downloaded")
        return sum(len(_words(_text(message))) for message in prompt_messages)

    def validate_credentials(self, model: str, credentials: Mapping[str, Any]) -> None:
        del model
        check_key(credentials)

    def get_customizable_model_schema(
        self, model: str, credentials: Mapping[str, Any]
    ) -> AIModelEntity:
        size = int(credentials.get("context_size") or 2048)
        return AIModelEntity(
            model=model,
            label=I18nObject(en_US=f"{model}, added"),
            model_type=ModelType.LLM,
            fetch_from=FetchFrom.CUSTOMIZABLE_MODEL,
            model_properties={ModelPropertyKey.MODE: "chat", ModelPropertyKey.CONTEXT_SIZE: size},
        )

    @property
    def _invoke_error_mapping(self) -> dict[type[InvokeError], list[type[Exception]]]:
        return ERROR_MAPPING
