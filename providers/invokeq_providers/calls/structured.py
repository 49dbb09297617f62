"""Structured output: an LLM's answer as an object that obeys the caller's schema.

A model with the feature `structured-output` gets the schema as a parameter, in the shape of
OpenAI's format: `{"name", "schema"}`, with `"strict": true` where strict mode takes the schema. Any
other model gets the schema in a system message. Unlike in Dify, booleans stay booleans, and the
other system messages stay. `prepare_structured` is pure: no I/O, no clock.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final, cast

import orjson

from invokeq.protocol.entities import (
    AIModelEntity,
    AssistantPromptMessage,
    LLMResultChunkDelta,
    LLMResultChunkWithStructuredOutput,
    ModelType,
    ParameterRule,
    PromptMessage,
    PromptMessageContentUnionTypes,
    SystemPromptMessage,
    TextPromptMessageContent,
)
from invokeq.protocol.errors import UnusableAnswerError
from invokeq.protocol.requests import LLMRequest, LLMStructuredOutputRequest
from invokeq_providers.base import LLMCall, Provider
from invokeq_providers.calls.llm import prepare_llm
from invokeq_providers.calls.outputs import Output, Services
from invokeq_providers.chat.answer_schema import UnfitAnswerError, check_schema, read_answer
from invokeq_providers.chat.collect import collect
from invokeq_providers.chunks import LLMChunk, TextChunk

_CUT_OFF = "length"  # the finish reason of an answer that ran into max_tokens

_FORMAT: Final = "response_format"
_SCHEMA: Final = "json_schema"
_JSON_MODES: Final = ("JSON", "json_object")  # as Dify's files and OpenAI's API call it
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_DEFAULT_NAME: Final = "response"
_STRICT_KEYWORDS: Final = frozenset(
    {"type", "properties", "required", "additionalProperties", "items", "enum", "const", "anyOf"}
    | {"title", "description"}
)
_STRICT_DEPTH: Final = 5  # deeper schemas, and larger ones, are left to the vendor's free mode
_STRICT_PROPERTIES: Final = 100

_INSTRUCTIONS: Final = """\
Your whole answer is one JSON object: no other words before or after it, no code fence around it.
The object obeys this JSON schema:
{schema}"""


async def serve_structured(
    request: LLMStructuredOutputRequest, services: Services
) -> AsyncGenerator[Output, None]:
    """Yield the provider's chunks, then a chunk with the object; unstreamed, all in one chunk.

    An answer of tool calls alone has no object. Raises `UnusableAnswerError` for an answer that
    breaks the schema even after repair.
    """
    # In a thread: the caller chooses the schema, and a large one would hold the loop.
    await asyncio.to_thread(check_schema, request.structured_output_schema)
    provider = services.provider(request.provider)
    call = prepare_structured(
        request,
        provider,
        request_id=services.request_id,
        user=services.user,
        heartbeat=services.heartbeat,
    )
    services.ignored(provider.name, call.model, call.ignored_parameters)
    answer = _Answer()
    collected: list[LLMChunk] = []
    async with aclosing(provider.llm(call)) as chunks:
        async for chunk in chunks:
            answer.add(chunk)
            if request.stream:
                yield chunk
            else:
                # Nothing is emitted until the end, so the run needs another sign of life.
                services.heartbeat()
                collected.append(chunk)
    found = await answer.read(request, provider.name)
    if not request.stream:
        whole = collect(collected)
        yield LLMResultChunkWithStructuredOutput(
            model=whole.model,
            system_fingerprint=whole.system_fingerprint,
            delta=whole.delta,
            structured_output=found,
        )
    elif found is not None:
        message = AssistantPromptMessage(content="")
        yield LLMResultChunkWithStructuredOutput(
            model=call.model,
            delta=LLMResultChunkDelta(index=0, message=message),
            structured_output=found,
        )


class _Answer:
    """The parts of an answer needed for reading the object: far less than all chunks."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._calls_tools = False
        self._finish_reason: str | None = None

    def add(self, chunk: LLMChunk) -> None:
        """Add the next chunk."""
        if isinstance(chunk, TextChunk):
            self._texts.append(chunk.text)
            return
        message = chunk.delta.message
        self._texts.append(message.get_text_content())
        self._calls_tools = self._calls_tools or bool(message.tool_calls)
        self._finish_reason = chunk.delta.finish_reason or self._finish_reason

    async def read(
        self, request: LLMStructuredOutputRequest, provider: str
    ) -> Mapping[str, Any] | None:
        """Return the object, or None for an answer of tool calls alone.

        Raises `UnusableAnswerError` for an answer that breaks the schema.
        """
        text = "".join(self._texts)
        if self._calls_tools and not text.strip():
            return None
        try:
            return await asyncio.to_thread(
                read_answer,
                text,
                request.structured_output_schema,
                # An answer cut off by max_tokens must not be repaired into half an object.
                complete=self._finish_reason != _CUT_OFF,
            )
        except UnfitAnswerError as error:
            raise UnusableAnswerError(
                provider=provider, model=request.model, problem=error.problem
            ) from None


def prepare_structured(
    request: LLMStructuredOutputRequest,
    provider: Provider,
    *,
    request_id: str = "",
    user: str | None = None,
    heartbeat: Callable[[], None] = lambda: None,
) -> LLMCall:
    """Build the call for a schema checked before. Raises the errors of `prepare_llm`."""
    facts = provider.facts(ModelType.LLM, request.model)
    schema = request.structured_output_schema
    messages: Sequence[PromptMessage] = request.prompt_messages
    ours: dict[str, Any] = {}
    if is_native(facts):
        ours[_SCHEMA] = orjson.dumps(wrap_schema(schema)).decode()
        ours |= _format(facts, (_SCHEMA,))
    else:
        messages = with_instructions(messages, schema)
        ours |= _format(facts, _JSON_MODES)
    theirs = {k: v for k, v in request.completion_params.items() if k not in {_SCHEMA, _FORMAT}}
    plain = LLMRequest(
        provider=request.provider,
        model=request.model,
        mode=request.mode,
        completion_params={**theirs, **ours},
        prompt_messages=list(messages),
        tools=request.tools,
        stop=request.stop,
        stream=request.stream,
    )
    return prepare_llm(plain, provider, request_id=request_id, user=user, heartbeat=heartbeat)


def is_native(facts: AIModelEntity) -> bool:
    """Return whether the model takes a schema: both the feature and the parameter are needed."""
    return facts.support_structure_output and _rule(facts, _SCHEMA) is not None


def wrap_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Wrap a schema with a name, in the shape of OpenAI's `json_schema`."""
    title = schema.get("title")
    named = isinstance(title, str) and _NAME.fullmatch(title)
    wrapped: dict[str, Any] = {"name": title if named else _DEFAULT_NAME, "schema": schema}
    return wrapped | {"strict": True} if is_strict(schema) else wrapped


def is_strict(schema: Mapping[str, Any]) -> bool:
    """Return whether OpenAI's strict mode is certain to take a schema.

    In strict mode every object has `additionalProperties: false` and requires all properties.
    Source: OpenAI API documentation, "Structured model outputs", supported schemas.
    """
    nodes = list(_subschemas(schema, _STRICT_DEPTH))
    count = sum(len(node.get("properties", ())) for node in nodes if node is not None)
    return (
        schema.get("type") == "object"
        and count <= _STRICT_PROPERTIES
        and all(node is not None and _is_strict_node(node) for node in nodes)
    )


def with_instructions(
    messages: Sequence[PromptMessage], schema: Mapping[str, Any]
) -> list[PromptMessage]:
    """Return the messages with the instructions first, joined with the first system message."""
    text = _INSTRUCTIONS.format(schema=orjson.dumps(schema).decode())
    system = next((m for m in messages if isinstance(m, SystemPromptMessage)), None)
    if system is None or not system.content:
        first = SystemPromptMessage(content=text)
    elif isinstance(system.content, str):
        first = system.model_copy(update={"content": f"{text}\n\n{system.content}"})
    else:
        parts: list[PromptMessageContentUnionTypes] = [
            TextPromptMessageContent(data=f"{text}\n\n"),
            *system.content,
        ]
        first = system.model_copy(update={"content": parts})
    return [first, *(message for message in messages if message is not system)]


def _rule(facts: AIModelEntity, name: str) -> ParameterRule | None:
    return next(
        (rule for rule in facts.parameter_rules if name in {rule.name, rule.use_template}), None
    )


def _format(facts: AIModelEntity, wanted: Sequence[str]) -> dict[str, str]:
    """Return the first wanted response format that the model offers, or no parameter."""
    rule = _rule(facts, _FORMAT)
    offered = rule.options if rule is not None else []
    chosen = next((name for name in wanted if name in offered), None)
    return {_FORMAT: chosen} if chosen is not None else {}


def _subschemas(node: Any, depth: int) -> list[Mapping[str, Any] | None]:
    """Return the schemas of a tree; None stands for a schema too deep, or no object."""
    if depth == 0 or not isinstance(node, Mapping):
        return [None]
    schema = cast(Mapping[str, Any], node)
    below: list[Any] = [*_values(schema.get("properties")), *_items(schema.get("anyOf"))]
    if "items" in schema:
        below.append(schema["items"])
    return [schema, *(found for child in below for found in _subschemas(child, depth - 1))]


def _is_strict_node(schema: Mapping[str, Any]) -> bool:
    kind = schema.get("type")
    if not schema.keys() <= _STRICT_KEYWORDS or (kind is None and "anyOf" not in schema):
        return False
    if kind == "object":
        names = set(schema.get("properties", ()))
        return (
            schema.get("additionalProperties") is False and set(schema.get("required", ())) == names
        )
    return "properties" not in schema and (kind != "array" or "items" in schema)


def _values(node: Any) -> list[Any]:
    return list(cast(Mapping[str, Any], node).values()) if isinstance(node, Mapping) else []


def _items(node: Any) -> list[Any]:
    return list(cast(Sequence[Any], node)) if isinstance(node, list) else []
