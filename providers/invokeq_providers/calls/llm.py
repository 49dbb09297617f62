"""LLM calls: a stream of chunks, or one collected chunk for requests with `stream=False`.

`prepare_llm` is pure: no I/O, no clock. Parameters are checked as Dify's model runtime checks them,
so that a request that passes in Dify passes here. A part or parameter that the model cannot take is
refused or dropped before a vendor sees the request.
"""

import math
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final

from invokeq.protocol.entities import (
    AIModelEntity,
    ModelFeature,
    ModelType,
    ParameterRule,
    ParameterType,
    PromptMessage,
    PromptMessageContentType,
    TextPromptMessageContent,
)
from invokeq.protocol.errors import InvalidParameterError, InvalidRequestError
from invokeq.protocol.requests import LLMRequest
from invokeq_providers.base import LLMCall, Provider
from invokeq_providers.calls.outputs import Output, Services
from invokeq_providers.chat.collect import collect
from invokeq_providers.chunks import LLMChunk

_TOOL_FEATURES: Final = frozenset(
    {ModelFeature.TOOL_CALL, ModelFeature.MULTI_TOOL_CALL, ModelFeature.STREAM_TOOL_CALL}
)
_PART_FEATURES: Final = {
    PromptMessageContentType.IMAGE: ModelFeature.VISION,
    PromptMessageContentType.AUDIO: ModelFeature.AUDIO,
    PromptMessageContentType.VIDEO: ModelFeature.VIDEO,
    PromptMessageContentType.DOCUMENT: ModelFeature.DOCUMENT,
}
_SHOWN_CHARACTERS: Final = 40  # of a wrong value, in an error's sentence


def serve_llm(request: LLMRequest, services: Services) -> AsyncGenerator[Output, None]:
    """Return the provider's chunks as a stream; with `stream=False` collected into one chunk.

    Raises the errors of `prepare_llm`, before the first chunk.
    """
    provider = services.provider(request.provider)
    call = prepare_llm(
        request,
        provider,
        request_id=services.request_id,
        user=services.user,
        heartbeat=services.heartbeat,
    )
    services.ignored(provider.name, call.model, call.ignored_parameters)
    answer = provider.llm(call)
    return answer if request.stream else _collected(answer, services.heartbeat)


async def _collected(
    answer: AsyncGenerator[LLMChunk, None], heartbeat: Callable[[], None]
) -> AsyncGenerator[Output, None]:
    collected: list[LLMChunk] = []
    async with aclosing(answer) as chunks:
        async for chunk in chunks:
            # Nothing is emitted until the end; without heartbeats a long answer looks like silence.
            heartbeat()
            collected.append(chunk)
    yield collect(collected)


def prepare_llm(
    request: LLMRequest,
    provider: Provider,
    *,
    request_id: str = "",
    user: str | None = None,
    heartbeat: Callable[[], None] = lambda: None,
) -> LLMCall:
    """Check a request against the facts of the model, and build the call.

    Tools are dropped for a model without a feature for tools. Raises `ModelNotFoundError`,
    `InvalidParameterError`, or `InvalidRequestError` naming the message and the unfit part.
    """
    facts = provider.facts(ModelType.LLM, request.model)
    check_parts(request.prompt_messages, facts, provider.name)
    parameters, ignored = check_parameters(request.completion_params, facts, provider.name)
    return LLMCall(
        request_id=request_id,
        model=request.model,
        facts=facts,
        prompt_messages=request.prompt_messages,
        parameters=parameters,
        tools=(request.tools or ()) if takes_tools(facts) else (),
        stop=request.stop or (),
        stream=request.stream,
        user=user,
        ignored_parameters=ignored,
        heartbeat=heartbeat,
    )


def takes_tools(facts: AIModelEntity) -> bool:
    """Return whether the model has a feature for calling tools."""
    return not _TOOL_FEATURES.isdisjoint(facts.features or ())


def check_parts(messages: Sequence[PromptMessage], facts: AIModelEntity, provider: str) -> None:
    """Raise `InvalidRequestError` for the first part without a feature of the model."""
    features = facts.features or ()
    for i, message in enumerate(messages):
        if not isinstance(message.content, list):
            continue
        for j, part in enumerate(message.content):
            if isinstance(part, TextPromptMessageContent):
                continue
            feature = _PART_FEATURES[part.type]
            if feature not in features:
                raise InvalidRequestError(
                    provider=provider,
                    model=facts.model,
                    field=f"prompt_messages[{i}].content[{j}]",
                    problem=f"{provider}/{facts.model} takes no {part.type.value} "
                    f"(it lacks the feature {feature.value})",
                )


def check_parameters(
    given: Mapping[str, Any], facts: AIModelEntity, provider: str
) -> tuple[dict[str, Any], list[str]]:
    """Check parameters by the rules of the model; return the accepted ones and the ignored names.

    Accepted parameters are in the order of the rules. Ignored are the names without a rule. A rule
    also takes the value given under the name of the rule's template. Defaults stand in only for
    required parameters. Raises `InvalidParameterError`.
    """
    accepted: dict[str, Any] = {}
    for rule in facts.parameter_rules:
        value = given.get(rule.name)
        if value is None and rule.use_template is not None:
            value = given.get(rule.use_template)
        problem = None
        if value is not None:
            value = _integral(value)
            problem = _problem(rule, value)
        elif rule.required:
            value = rule.default
            problem = "is required" if value is None else None
        if problem is not None:
            raise InvalidParameterError(
                provider=provider,
                model=facts.model,
                field=f"completion_params.{rule.name}",
                parameter=rule.name,
                problem=problem,
            )
        if value is not None:
            accepted[rule.name] = value
    others = [name for name, value in given.items() if name not in accepted and value is not None]
    if others:
        templates = {rule.use_template for rule in facts.parameter_rules}
        others = [name for name in others if name not in templates]
    return accepted, others


def _integral(value: Any) -> Any:
    """Return 5 for 5.0: JSON knows one kind of number, and Dify's daemon converts the same way."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _problem(rule: ParameterRule, value: Any) -> str | None:
    """Return the problem of a value, for a sentence that starts with the parameter's name."""
    match rule.type:
        case ParameterType.INT:
            return _number_problem(rule, value, int, "an integer")
        case ParameterType.FLOAT:
            return _number_problem(rule, value, (int, float), "a number")
        case ParameterType.BOOLEAN:
            return None if isinstance(value, bool) else f"must be true or false, not {_show(value)}"
        case ParameterType.STRING | ParameterType.TEXT:
            if not isinstance(value, str):
                return f"must be a string, not {_show(value)}"
            if rule.type is ParameterType.STRING and rule.options and value not in rule.options:
                return f"must be one of {', '.join(rule.options)}, not {_show(value)}"
            return None


def _number_problem(
    rule: ParameterRule, value: Any, kinds: type | tuple[type, ...], noun: str
) -> str | None:
    # A bool is an int to Python and to Dify, but no vendor takes true for a number.
    if isinstance(value, bool) or not isinstance(value, kinds):
        return f"must be {noun}, not {_show(value)}"
    if isinstance(value, float) and not math.isfinite(value):
        return f"must be {noun}, not {value}"
    places = rule.precision if rule.type is ParameterType.FLOAT else None
    wrong = None
    if rule.min is not None and value < rule.min:
        wrong = f"at least {_show(_integral(rule.min))}"
    elif rule.max is not None and value > rule.max:
        wrong = f"at most {_show(_integral(rule.max))}"
    elif places is not None and value != round(value, places):
        wrong = f"a number with at most {places} decimal places"
    return f"must be {wrong}, not {_show(value)}" if wrong else None


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."
