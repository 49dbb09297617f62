"""Convert events of Anthropic's Messages API to events of OpenAI's format.

`ChatAnswer` reads the result, so text, thoughts, tool calls and usage come out alike for every
vendor.
"""

from collections.abc import Mapping
from typing import Any, Final

import orjson

Event = Mapping[str, Any]

_FINISH_REASONS: Final = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_INPUT_COUNTS: Final = (
    "input_tokens",
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
)
_THINKING: Final = frozenset({"thinking", "redacted_thinking"})


class MessageEvents:
    """The state of one answer: the content blocks, and the usage so far.

    `thoughts` are the unchanged thinking blocks, with the signatures that prove the thoughts.
    """

    def __init__(self) -> None:
        self.thoughts: list[dict[str, Any]] = []
        self._blocks: dict[int, dict[str, Any]] = {}
        self._usage: dict[str, Any] = {}

    def read(self, event: Event) -> Event:
        """Return an event in OpenAI's format; the mapping is empty for an event without use.

        Raise LookupError or TypeError for a malformed event.
        """
        match event["type"]:
            case "message_start":
                self._count(event["message"].get("usage"))
                return {}
            case "content_block_start":
                return self._start(int(event["index"]), event["content_block"])
            case "content_block_delta":
                return self._delta(int(event["index"]), event["delta"])
            case "content_block_stop":
                return self._stop(int(event["index"]))
            case "message_delta":
                return self._end(event)
            case _:
                return {}

    def _start(self, index: int, block: Event) -> Event:
        kept = dict(block)
        self._blocks[index] = kept
        kind = block["type"]
        if kind in _THINKING:
            self.thoughts.append(kept)
        if kind == "tool_use":
            # Anthropic starts a tool call with an empty input; a compatible server may send all.
            arguments = orjson.dumps(block["input"]).decode() if block.get("input") else ""
            kept["emitted"] = bool(arguments)
            function = {"name": block["name"], "arguments": arguments}
            return _delta(tool_calls=[{"index": index, "id": block["id"], "function": function}])
        return _delta(content=block.get("text"), reasoning_content=block.get("thinking"))

    def _delta(self, index: int, delta: Event) -> Event:
        block = self._blocks[index]
        match delta["type"]:
            case "text_delta":
                return _delta(content=delta["text"])
            case "thinking_delta":
                block["thinking"] += delta["thinking"]
                return _delta(reasoning_content=delta["thinking"])
            case "signature_delta":
                block["signature"] = delta["signature"]
                return {}
            case "input_json_delta":
                block["emitted"] = block["emitted"] or bool(delta["partial_json"])
                return _arguments(index, delta["partial_json"])
            case _:
                return {}

    def _stop(self, index: int) -> Event:
        """Return an empty object as the arguments of a tool call without arguments."""
        block = self._blocks[index]
        return _arguments(index, "{}") if block.get("emitted") is False else {}

    def _end(self, event: Event) -> Event:
        self._count(event.get("usage"))
        reason = event["delta"].get("stop_reason")
        finish = _FINISH_REASONS.get(reason, "stop") if reason else None
        return {"choices": [{"delta": {}, "finish_reason": finish}], "usage": self._counts()}

    def _count(self, usage: Event | None) -> None:
        """Record counts: a later count replaces an earlier one, and a missing count stays."""
        self._usage |= {k: v for k, v in (usage or {}).items() if v is not None}

    def _counts(self) -> Mapping[str, int]:
        return {
            "prompt_tokens": sum(int(self._usage.get(name) or 0) for name in _INPUT_COUNTS),
            "completion_tokens": int(self._usage.get("output_tokens") or 0),
        }


def _delta(**delta: Any) -> Event:
    return {"choices": [{"delta": delta}]}


def _arguments(index: int, arguments: str) -> Event:
    return _delta(tool_calls=[{"index": index, "function": {"arguments": arguments}}])
