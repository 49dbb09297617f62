"""A program that uses Dify's SDK bound to invokeq, driven over pipes by JSON lines.

A separate program, because importing `dify_plugin` patches the whole process with gevent. An input
line names an `operation` and arguments. The output line is `{"answer": ...}`, or `{"raised": ...}`
with the classes and the text of the error. The program ends at the end of input.
"""

import inspect
import io
import json
import os
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from importlib import import_module
from importlib.metadata import version
from typing import Any, cast

from dify_plugin.core.runtime import ModelInvocations
from dify_plugin.core.runtime import Session as DifySession
from dify_plugin.entities.model.llm import (
    LLMModelConfig,
    LLMResult,
    LLMResultChunk,
    LLMResultChunkWithStructuredOutput,
    LLMUsage,
)
from dify_plugin.entities.model.message import (
    AssistantPromptMessage,
    PromptMessageTool,
    SystemPromptMessage,
    ToolPromptMessage,
    UserPromptMessage,
)
from dify_plugin.entities.tool import ToolInvokeMessage
from dify_plugin.invocations.model.llm import LLMInvocation
from dify_plugin.invocations.model.llm_structured_output import LLMStructuredOutputInvocation
from pydantic import BaseModel

from tests.support.paths import EXAMPLES

# isort: split
import gevent

from invokeq import Session
from invokeq.dify import bind, load_tool
from invokeq.protocol import entities as ours
from invokeq.results.accumulate import accumulate
from invokeq.results.structured import accumulate_structured

PLUGIN = EXAMPLES / "dify_tool"
SESSION = Session("acme", redis=sys.argv[1])
BOUND = bind(SESSION)
OPEN: dict[str, Any] = {}
WEATHER = PromptMessageTool(
    name="weather", description="The weather of a city", parameters={"type": "object"}
)


def config(model: str = "echo", provider: str = "scripted", **params: Any) -> LLMModelConfig:
    return LLMModelConfig(provider=provider, model=model, mode="chat", completion_params=params)


def chunks_of(text: str, **params: Any) -> list[LLMResultChunk]:
    messages: Any = [SystemPromptMessage(content="Be brief."), UserPromptMessage(content=text)]
    return list(BOUND.model.llm.invoke(config(**params), messages, stream=True))


def are(kind: type, values: list[Any]) -> bool:
    return all(isinstance(value, kind) for value in values)


def text_of(chunks: list[LLMResultChunk]) -> str:
    return "".join(str(chunk.delta.message.content) for chunk in chunks)


def sdk_version() -> str:
    """Return the version of the SDK."""
    return version("dify_plugin")


def stream(text: str, params: dict[str, Any]) -> dict[str, Any]:
    """Stream an answer; return the chunks and whether all are of the SDK's classes."""
    chunks = chunks_of(text, **params)
    return {
        "texts": [chunk.delta.message.content for chunk in chunks],
        "indexes": [chunk.delta.index for chunk in chunks],
        "finish_reason": chunks[-1].delta.finish_reason,
        "models": sorted({chunk.model for chunk in chunks}),
        "chunk_class": are(LLMResultChunk, chunks),
        "message_class": are(AssistantPromptMessage, [c.delta.message for c in chunks]),
        "usage_class": isinstance(chunks[-1].delta.usage, LLMUsage),
        "usage": json.loads(chunks[-1].model_dump_json())["delta"]["usage"],
    }


class Replay(LLMInvocation):
    """Return the SDK's own LLM call, with given chunks in place of a daemon's."""

    def __init__(self, chunks: list[LLMResultChunk]) -> None:
        super().__init__(None)
        self._chunks = chunks

    def _backwards_invoke(self, *_: Any, **__: Any) -> Generator[Any, None, None]:
        yield from self._chunks


def result_of(value: Any, *, latency: bool = True) -> dict[str, Any]:
    assert isinstance(value, LLMResult)
    fields = json.loads(value.model_dump_json())
    if not latency:
        del fields["usage"]["latency"]
    return fields


def whole(text: str, params: dict[str, Any]) -> list[dict[str, Any]]:
    """Ask for a whole result; return ours, and the SDK's result of the streamed chunks."""
    messages: Any = [SystemPromptMessage(content="Be brief."), UserPromptMessage(content=text)]
    sdks = Replay(chunks_of(text, **params)).invoke(config(**params), messages, stream=False)
    result = BOUND.model.llm.invoke(config(**params), messages, stream=False)
    return [result_of(result, latency=False), result_of(sdks, latency=False)]


def accumulated(chunks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Accumulate the same chunks; return our result and the SDK's."""
    sdks = Replay([LLMResultChunk.model_validate(chunk) for chunk in chunks])
    own = accumulate("asked-for", [ours.LLMResultChunk.model_validate(chunk) for chunk in chunks])
    whole = sdks.invoke(config("asked-for"), [UserPromptMessage(content="?")], stream=False)
    return [result_of(LLMResult.model_validate(own.model_dump(mode="json"))), result_of(whole)]


class StructuredReplay(LLMStructuredOutputInvocation):
    """Return the SDK's own structured call, with given chunks in place of a daemon's."""

    def __init__(self, chunks: list[LLMResultChunkWithStructuredOutput]) -> None:
        super().__init__(None)
        self._chunks = chunks

    def _backwards_invoke(self, *_: Any, **__: Any) -> Generator[Any, None, None]:
        yield from self._chunks


def accumulated_structured(chunks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Accumulate the same structured chunks; return our result and the SDK's."""
    entity = LLMResultChunkWithStructuredOutput
    sdks = StructuredReplay([entity.model_validate(chunk) for chunk in chunks])
    kept = [ours.LLMResultChunkWithStructuredOutput.model_validate(chunk) for chunk in chunks]
    own = accumulate_structured("asked-for", kept)
    asked: Any = (config("asked-for"), [UserPromptMessage(content="?")], {"type": "object"})
    whole: Any = sdks.invoke(*asked, stream=False)
    return [own.model_dump(mode="json"), json.loads(whole.model_dump_json())]


def selector(value: dict[str, Any], text: str) -> str:
    """Ask with the value of a model-selector, a dict."""
    return text_of(list(BOUND.model.llm.invoke(value, [UserPromptMessage(content=text)])))


def plain_messages(messages: list[Any]) -> str:
    """Ask with dicts as messages."""
    return text_of(list(BOUND.model.llm.invoke(config(), messages)))


def tools(model: str) -> dict[str, Any]:
    """Offer a tool, answer the call of the tool, and return both answers."""
    question = UserPromptMessage(content="Rain in Oslo?")
    params = {"tool_calls": '[{"arguments": {"city": "Oslo"}}]'} if model == "tools" else {}
    asked = list(BOUND.model.llm.invoke(config(model, **params), [question], [WEATHER]))
    calls = [call for chunk in asked for call in chunk.delta.message.tool_calls]
    answer = ToolPromptMessage(content="It rains.", tool_call_id="call_0")
    said = AssistantPromptMessage(content="", tool_calls=calls)
    told = BOUND.model.llm.invoke(
        config(model), [question, said, answer], tools=[WEATHER], stop=["never"], stream=False
    )
    assert isinstance(told, LLMResult)
    return {
        "text": text_of(asked),
        "calls": [call.model_dump() for call in calls],
        "call_class": are(AssistantPromptMessage.ToolCall, calls),
        "told": told.message.content,
    }


def begin(name: str, attribute: str, arguments: list[Any]) -> None:
    """Call, and keep the generator under a name without taking an item."""
    OPEN[name] = getattr(BOUND.model, attribute).invoke(*decoded(arguments))


def advance(name: str) -> Any:
    """Return the next item of a generator."""
    return described(next(OPEN[name]))


def start(name: str, params: dict[str, Any]) -> None:
    """Call, and keep the generator under a name without taking an item."""
    messages: Any = [UserPromptMessage(content="a b c")]
    OPEN[name] = BOUND.model.llm.invoke(config(**params), messages, stream=True)


def take(name: str) -> str:
    """Return the text of the next chunk."""
    return next(OPEN[name]).delta.message.content


def close(name: str) -> None:
    """Close a generator."""
    OPEN.pop(name).close()


def drop(name: str) -> None:
    """Forget a generator."""
    del OPEN[name]


def call_it(call: str) -> None:
    """Call a part of `session.model` like a function, as two official plugins do."""
    getattr(BOUND.model, call)(content="text")


def call(attribute: str, method: str, arguments: list[Any], named: dict[str, Any]) -> Any:
    """Call any method of `session.model`; return the result, or all items of a stream."""
    function = getattr(getattr(BOUND.model, attribute), method)
    return described(function(*decoded(arguments), **decoded(named)))


def sdks(attribute: str, method: str, arguments: list[Any], payloads: list[dict[str, Any]]) -> Any:
    """Make the same call with the SDK's own code, for which a daemon answers with `payloads`."""
    invocation = getattr(ModelInvocations(BOUND), attribute)

    def answer(_: Any, entity: type[Any], __: Any) -> Iterator[Any]:
        return (entity(**payload) for payload in payloads)

    invocation._backwards_invoke = answer
    return described(getattr(invocation, method)(*decoded(arguments)))


def decoded(value: Any) -> Any:
    """Decode objects beyond JSON: {"entity": "module:Class", ...fields} and {"file": hex}."""
    if isinstance(value, list):
        return [decoded(item) for item in cast(list[Any], value)]
    if not isinstance(value, dict):
        return value
    fields = {key: decoded(item) for key, item in cast(dict[str, Any], value).items()}
    if "file" in fields:
        return io.BytesIO(bytes.fromhex(fields["file"]))
    if "entity" not in fields:
        return fields
    module, _, name = fields.pop("entity").partition(":")
    entity = getattr(import_module(f"dify_plugin.entities.model{module}"), name)
    return entity(fields["value"]) if "value" in fields else entity(**fields)


def described(value: Any) -> Any:
    """Return the class name of a value, and the value."""
    if isinstance(value, Generator):
        return [described(item) for item in cast(Generator[Any, None, None], value)]
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    if isinstance(value, BaseModel):
        return [kind, json.loads(value.model_dump_json())]
    return [kind, value.hex() if isinstance(value, bytes) else value]


def signatures() -> list[dict[str, Any]]:
    """Return the names, kinds and defaults of all parameters: ours, and the SDK's."""
    return [
        {
            f"{attribute}.{name}": [
                [p.name, p.kind.name, repr(p.default)]
                for p in inspect.signature(method).parameters.values()
            ]
            for attribute, invocation in sorted(vars(model).items())
            for name, method in inspect.getmembers(invocation, inspect.ismethod)
            if not name.startswith("_")
        }
        for model in (BOUND.model, ModelInvocations(BOUND))
    ]


def together(texts: list[str]) -> list[str]:
    """Stream several answers at once, each in a thread that waits for all others midway."""
    barrier = threading.Barrier(len(texts), timeout=60)
    answers: dict[int, str] = {}

    def run(index: int, text: str) -> None:
        chunks = BOUND.model.llm.invoke(config(), [UserPromptMessage(content=text)])
        first = next(chunks)
        barrier.wait()
        answers[index] = text_of([first, *chunks])

    threads = [threading.Thread(target=run, args=item) for item in enumerate(texts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [answers[index] for index in range(len(texts))]


def beside_a_silent_one(text: str) -> str:
    """Get an answer while a greenlet waits for an endless answer, then kill the greenlet."""
    begun = threading.Event()

    def wait() -> None:
        messages: Any = [UserPromptMessage(content="never ends")]
        for _ in BOUND.model.llm.invoke(config(hang_after=1), messages, stream=True):
            begun.set()

    spawn: Any = gevent.spawn
    silent = spawn(wait)
    try:
        assert begun.wait(20)
        return text_of(chunks_of(text))
    finally:
        silent.kill()


def bind_existing() -> dict[str, bool]:
    """Bind a session made by a host."""
    existing = DifySession.empty_session()
    storage = existing.storage
    bound = bind(SESSION, existing)
    return {
        "same": bound is existing,
        "storage": bound.storage is storage,
        "answers": text_of(list(bound.model.llm.invoke(config(), [UserPromptMessage(content="x")])))
        == "x",
    }


def run_tool(name: str, parameters: dict[str, Any]) -> list[str]:
    """Run a tool of the example plugin; return the text messages."""
    tool = load_tool(PLUGIN, name).open(BOUND)
    messages = list(tool.invoke(parameters))
    assert are(ToolInvokeMessage, messages)
    return [json.loads(message.model_dump_json())["message"]["text"] for message in messages]


def declared(name: str) -> list[dict[str, Any]]:
    """Return the declared parameters of a tool of the example plugin."""
    parameters: Any = load_tool(PLUGIN, name).declaration.parameters
    return [
        {"name": p.name, "type": p.type.value, "scope": p.scope, "required": p.required}
        for p in parameters
    ]


def load(plugin: str, name: str) -> None:
    """Load a tool of any plugin."""
    load_tool(plugin, name)


OPERATIONS: dict[str, Callable[..., Any]] = {
    operation.__name__: operation
    for operation in (
        accumulated,
        accumulated_structured,
        advance,
        begin,
        beside_a_silent_one,
        bind_existing,
        call,
        call_it,
        close,
        declared,
        drop,
        load,
        plain_messages,
        run_tool,
        sdk_version,
        sdks,
        selector,
        signatures,
        start,
        stream,
        take,
        together,
        tools,
        whole,
    )
}


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Execute one request; return the reply."""
    try:
        return {"answer": OPERATIONS[request.pop("operation")](**request)}
    except Exception as error:  # noqa: BLE001 - whatever a plugin would see is told
        return {"raised": [cls.__name__ for cls in type(error).__mro__], "text": str(error)}


def main() -> None:
    """Answer until the input ends."""
    for line in sys.stdin:
        sys.stdout.write(json.dumps(answer(json.loads(line))) + "\n")
        sys.stdout.flush()
    os._exit(0)  # gevent 25 on Python 3.11 ends the interpreter with tracebacks of its own


if __name__ == "__main__":
    main()
