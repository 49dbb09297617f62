"""Structured output: natively or by prompt and repair, and always held to the schema."""

from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from invokeq.protocol.entities import (
    LLMResultChunk,
    LLMResultChunkWithStructuredOutput,
)
from invokeq.protocol.errors import (
    InvalidRequestError,
    ModelNotFoundError,
    ProviderUnavailableError,
    UnusableAnswerError,
)
from invokeq.protocol.requests import LLMStructuredOutputRequest
from invokeq_providers.calls import Output, serve
from invokeq_providers.chunks import LLMChunk, as_entity
from tests.support.calls import Bench

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"ok": {"type": "boolean"}, "age": {"type": "integer", "minimum": 3}},
    "required": ["ok", "age"],
}
FITTING = {"ok": True, "age": 3}
TOOL = {"name": "search", "description": "Searches.", "parameters": {"type": "object"}}


def request(
    answer: str | None = None,
    *,
    model: str = "echo",
    stream: bool = True,
    schema: dict[str, Any] | None = None,
    tools: list[dict[str, Any]] | None = None,
    **parameters: Any,
) -> LLMStructuredOutputRequest:
    """Return a request for an object; `answer` is the fake model's answer, if not the default."""
    if answer is not None:
        parameters["text"] = answer
    return LLMStructuredOutputRequest.model_validate(
        {
            "provider": "scripted",
            "model": model,
            "completion_params": parameters,
            "prompt_messages": [{"role": "user", "content": "Who?"}],
            "structured_output_schema": SCHEMA if schema is None else schema,
            "tools": tools,
            "stream": stream,
        }
    )


def chunks(outputs: Sequence[Output]) -> list[LLMResultChunk]:
    found = [as_entity(piece) for piece in outputs if isinstance(piece, LLMChunk)]
    assert len(found) == len(outputs)
    return found


def objects(outputs: Sequence[Output]) -> list[Any]:
    """Return the object of each chunk; None for a chunk without one."""
    return [getattr(chunk, "structured_output", None) for chunk in chunks(outputs)]


async def found(answer: str, **options: Any) -> Any:
    """Return the object of an answer; streamed and whole answers must agree."""
    whole = objects(await Bench().outputs(request(answer, stream=False, **options)))
    streamed = objects(await Bench().outputs(request(answer, **options)))
    assert len(whole) == 1
    assert streamed[:-1] == [None] * (len(streamed) - 1)
    assert streamed[-1] == whole[0]
    return whole[0]


async def test_every_chunk_is_forwarded_and_one_with_the_object_follows() -> None:
    text = '{"ok": true, "age": 3}'
    outputs = chunks(await Bench().outputs(request(text)))
    *forwarded, last = outputs
    assert "".join(c.delta.message.get_text_content() for c in forwarded) == text
    assert [c.delta.index for c in forwarded] == list(range(len(forwarded)))
    assert forwarded[-1].delta.usage is not None
    assert isinstance(last, LLMResultChunkWithStructuredOutput)
    assert last.structured_output == FITTING
    assert (last.delta.index, last.delta.message.content, last.delta.usage) == (0, "", None)
    assert last.model == "echo"


async def test_without_a_stream_one_chunk_has_it_all() -> None:
    bench = Bench()
    (chunk,) = chunks(await bench.outputs(request('{"ok": true, "age": 3}', stream=False)))
    assert isinstance(chunk, LLMResultChunkWithStructuredOutput)
    assert chunk.structured_output == FITTING
    assert chunk.delta.message.content == '{"ok": true, "age": 3}'
    assert chunk.delta.usage is not None
    assert chunk.delta.finish_reason == ""
    assert bench.heard > 1


async def test_a_model_that_takes_the_schema_obeys_it() -> None:
    assert objects(await Bench().outputs(request(model="structured", stream=False))) == [FITTING]


@pytest.mark.parametrize(
    "answer",
    [
        '{"ok": true, "age": 3}',
        '[7, {"ok": true, "age": 3}]',
        'Sure! Here it is:\n```json\n{"ok": true, "age": 3}\n```',
        "{'ok': True, 'age': 3,}",
        '{"ok": true, "age": 3',
        '<think>\n{"ok": false}?\n</think>{"ok": true, "age": 3}',
    ],
)
async def test_an_answer_that_is_not_quite_json_is_repaired(answer: str) -> None:
    value = await found(answer)
    assert value == FITTING
    assert value["ok"] is True  # and not "true", as in Dify


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ("I cannot do that.", "it is no JSON object"),
        ("[]", "it is no JSON object"),
        ("", "it is no JSON object"),
        ("<think>hm", "it is no JSON object"),
        ('{"ok": "true", "age": 3}', "$.ok does not obey type boolean"),
        ('{"ok": true, "age": 2}', "$.age does not obey minimum 3"),
        ('{"ok": true}', '$ does not obey required ["ok","age"]'),
    ],
)
async def test_an_answer_that_does_not_fit_is_an_error(answer: str, problem: str) -> None:
    for stream in (True, False):
        bench = Bench()
        with pytest.raises(UnusableAnswerError) as caught:
            await bench.outputs(request(answer, stream=stream))
        assert caught.value.problem == problem
        assert (caught.value.provider, caught.value.model) == ("scripted", "echo")
        assert bench.events == ["started", "finished"]


async def test_chunks_before_the_error_stay_said() -> None:
    outputs: list[Output] = []

    async def consume() -> None:
        async for piece in serve(request("not json"), Bench().services):
            outputs.append(piece)  # noqa: PERF401  a comprehension would lose them

    with pytest.raises(UnusableAnswerError):
        await consume()
    assert "".join(c.delta.message.get_text_content() for c in chunks(outputs)) == "not json"


async def test_what_was_cut_off_is_not_taken_for_the_whole() -> None:
    with pytest.raises(UnusableAnswerError, match="cut off"):
        await found('{"ok": true, "age": 3, "name": "a b c d"}', max_tokens=5)


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ({"type": "object", "properties": {"a": {"type": "str"}}}, "is no JSON schema"),
        ({"properties": []}, "is no JSON schema"),
        ({"type": "array", "items": {}}, "must describe an object, not array"),
        ({"properties": {"a": {"$ref": "#/$defs/b"}}}, "leads nowhere: #/$defs/b"),
        ({"$ref": "http://169.254.169.254/"}, "leads nowhere: http://169.254.169.254/"),
    ],
)
@pytest.mark.parametrize("model", ["echo", "structured"])
async def test_a_schema_that_is_none_is_an_error_before_anything_is_asked(
    model: str, schema: dict[str, Any], problem: str
) -> None:
    bench = Bench()
    with pytest.raises(InvalidRequestError) as caught:
        await bench.outputs(request(model=model, schema=schema))
    assert caught.value.field == "structured_output_schema"
    assert problem in caught.value.problem
    assert bench.events == []


async def test_an_empty_object_is_an_object() -> None:
    assert await found("{}", schema={}) == {}


async def test_an_answer_that_calls_a_tool_needs_no_object() -> None:
    features = {"models": {"echo": {"features": ["tool-call"]}}}
    for stream in (True, False):
        outputs = await Bench(features).outputs(request(tools=[TOOL], stream=stream))
        (chunk,) = chunks(outputs)
        assert chunk.delta.message.tool_calls[0].function.name == "search"
        assert objects(outputs) == [None]


async def test_a_fault_of_the_model_is_the_callers() -> None:
    with pytest.raises(ProviderUnavailableError):
        await Bench().outputs(request("{}", fail_after=1))


async def test_leaving_early_closes_the_stream_of_the_model() -> None:
    bench = Bench()
    pieces = serve(request("a b c"), bench.services)
    await anext(pieces)
    await pieces.aclose()
    assert bench.events == ["started", "closed"]


async def test_an_unknown_model_is_an_error() -> None:
    with pytest.raises(ModelNotFoundError):
        await Bench().outputs(request(model="nope"))


async def test_the_wire_form_of_a_chunk_carries_the_object() -> None:
    outputs = chunks(await Bench().outputs(request('{"ok": false, "age": 3}')))
    wire = orjson.loads(outputs[-1].model_dump_json(exclude_defaults=True))
    assert wire["structured_output"] == {"ok": False, "age": 3}
    assert "structured_output" not in outputs[0].model_dump_json(exclude_defaults=True)
