"""Answers in the format of OpenAI's chat completions, streamed or whole.

Promises: every text of the vendor comes out once and in order. Tool calls come out complete, all in
the last chunk, unless fragments are configured. Reasoning is wrapped in `<think>`, as by Dify's
plugins.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import orjson

from invokeq.protocol.entities import AssistantPromptMessage, LLMResultChunk, LLMUsage
from invokeq_providers.base import LLMCall
from invokeq_providers.chat.collect import new_tool_call_id
from invokeq_providers.chat.stop import StopFilter
from invokeq_providers.chunks import LLMChunk, TextChunk, last_chunk, tool_call_chunk
from invokeq_providers.models.usage import usage_from_tokens

# Between text chunks an answer may be busy for long (tool arguments, text behind a stop word). An
# empty chunk after so many seconds without output shows readers an active vendor.
SIGN_OF_LIFE_S: Final = 5.0

ToolCall = AssistantPromptMessage.ToolCall


class ChatAnswer:
    """The state of one answer: `feed` takes events, `last` returns the chunk at the end.

    `stop` are the stop words not sent to the vendor. `clock` returns seconds.
    """

    def __init__(
        self,
        call: LLMCall,
        clock: Callable[[], float],
        *,
        stop: Sequence[str] = (),
        fragments: bool = False,
    ) -> None:
        self.chunks: int = 0
        self.finish_reason: str | None = None
        self.begun: bool = False  # a vendor may end an answer that has not had a single choice
        self._call = call
        self._clock = clock
        self._started = self._spoke = clock()
        self._stop = StopFilter(stop)
        self._fragments = fragments
        self._thinking = False
        self._fingerprint: str | None = None
        self._usage: Mapping[str, Any] = {}
        self._tool_calls: list[ToolCall] = []
        self._slots: dict[Any, ToolCall] = {}
        self._by_id: dict[str, ToolCall] = {}

    def feed(self, event: Mapping[str, Any]) -> LLMChunk | None:
        """Add one event of a stream, and return the resulting chunk, or None."""
        delta = self._read(event, "delta")
        if not delta:
            return None
        text = self._text(delta)
        fragments = [self._add(fragment) for fragment in delta.get("tool_calls") or ()]
        now = self._clock()
        if fragments and self._fragments:
            chunk = tool_call_chunk(self._call.model, self.chunks, text, fragments)
        elif text:
            chunk = TextChunk(self._call.model, self.chunks, text, self._fingerprint)
        elif (fragments or delta.get("content")) and now - self._spoke >= SIGN_OF_LIFE_S:
            chunk = TextChunk(self._call.model, self.chunks, "", self._fingerprint)
        else:
            return None
        self.chunks += 1
        self._spoke = now
        return chunk

    def done(self) -> None:
        """Note the vendor's end mark; some vendors send no finish reason."""
        self.finish_reason = self.finish_reason or "stop"

    def whole(self, event: Mapping[str, Any]) -> LLMResultChunk:
        """Take an answer that was not streamed, and give the only chunk."""
        if not event.get("choices"):
            raise ValueError("it has no choices")
        message = self._read(event, "message")
        text = self._text(message)
        for i, tool_call in enumerate(message.get("tool_calls") or ()):
            self._add({**tool_call, "index": i})
        self._fragments = False
        return self.last(text)

    def last(self, text: str = "") -> LLMResultChunk:
        """Return the last chunk, with the text held back, the tool calls, and the usage."""
        text += self._stop.finish()
        if self._thinking:
            text += "\n</think>"
        without = [call for call in self._tool_calls if call.function.arguments in ("", "null")]
        for call in without:
            call.function.arguments = "{}"
        return last_chunk(
            self._call.model,
            self.chunks,
            text=text,
            tool_calls=without if self._fragments else self._tool_calls,
            usage=self._priced(),
            finish_reason="stop" if self._stop.stopped else self.finish_reason or "stop",
            system_fingerprint=self._fingerprint,
        )

    def _read(self, event: Mapping[str, Any], key: str) -> Mapping[str, Any]:
        """Note usage, fingerprint and finish reason, and return the message or the next delta."""
        self._usage = event.get("usage") or self._usage
        self._fingerprint = event.get("system_fingerprint") or self._fingerprint
        choices = event.get("choices")
        if not choices:
            return {}
        choice = choices[0]
        self.begun = True
        self.finish_reason = choice.get("finish_reason") or self.finish_reason
        found = choice.get(key)
        if found is None and "message" in choice:  # whole, though a stream was asked for
            found = choice["message"]
        # Completions, in their legacy format, have `text` alone; some servers send it along.
        return found or {"content": choice.get("text")}

    def _text(self, delta: Mapping[str, Any]) -> str:
        content = delta.get("content") or delta.get("refusal") or ""
        text = self._stop.feed(content) if content else ""
        reasoning = delta.get("reasoning_content") or delta.get("reasoning")
        if reasoning:
            opening = "" if self._thinking else "<think>\n"
            self._thinking = True
            if not content:
                return f"{opening}{reasoning}"
            self._thinking = False
            return f"{opening}{reasoning}\n</think>{text}"
        if self._thinking and (content or delta.get("tool_calls")):
            self._thinking = False
            return f"\n</think>{text}"
        return text

    def _add(self, fragment: Mapping[str, Any]) -> ToolCall:
        """Add a fragment to the call in progress, and return the fragment with the call's id."""
        function: Mapping[str, Any] = fragment.get("function") or {}
        slot, id_ = fragment.get("index"), str(fragment.get("id") or "")
        name, arguments = str(function.get("name") or ""), _arguments(function.get("arguments"))
        call = self._slots.get(slot)
        if slot is None:
            call = self._by_id.get(id_) or (self._tool_calls[-1] if self._tool_calls else None)
        if call is None or (self._by_id.get(id_) is not call and _is_begun_anew(call, name)):
            taken = not id_ or id_ in self._by_id
            call = _tool_call(new_tool_call_id() if taken else id_, "", "")
            self._slots[slot] = call
            self._tool_calls.append(call)
        if id_:
            self._by_id.setdefault(id_, call)
        call.function.name = call.function.name or name
        call.function.arguments += arguments
        return _tool_call(call.id, name, arguments)

    def _priced(self) -> LLMUsage:
        """Return the priced usage from the vendor's counts; without counts all tokens are 0."""
        return usage_from_tokens(
            self._call.facts,
            int(self._usage.get("prompt_tokens") or 0),
            int(self._usage.get("completion_tokens") or 0),
            self._clock() - self._started,
        )


def _tool_call(id_: str, name: str, arguments: str) -> ToolCall:
    function = ToolCall.ToolCallFunction(name=name, arguments=arguments)
    return ToolCall(id=id_, type="function", function=function)


def _arguments(given: Any) -> str:
    """Return arguments as JSON text; some servers send them as an object."""
    if given is None or isinstance(given, str):
        return given or ""
    return orjson.dumps(given).decode()


def _is_begun_anew(call: ToolCall, name: str) -> bool:
    """Return whether a fragment with this name begins another call than `call`.

    Ids and indexes decide nothing: some servers send another id with every fragment, or none, and
    some give every call the index 0. A call begins with a name, after the last one is complete.
    """
    if not name:
        return False
    if name != call.function.name:
        return bool(call.function.name)
    try:
        orjson.loads(call.function.arguments)
    except orjson.JSONDecodeError:
        return False
    return True
