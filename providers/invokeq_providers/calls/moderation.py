"""Moderation: whether a text is sensitive, piece by piece where it is long."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import Final, cast

from invokeq.protocol.entities import ModelPropertyKey, ModelType
from invokeq.protocol.errors import UnusableAnswerError
from invokeq.protocol.requests import ModerationRequest
from invokeq_providers.base import ModerationCall, Provider
from invokeq_providers.calls.ordered_gather import ordered_gather
from invokeq_providers.calls.outputs import Output, Result, Services
from invokeq_providers.chat.sentences import pieces
from invokeq_providers.models.properties import count_property
from invokeq_providers.models.usage import UsageAccumulator

CONCURRENCY: Final = 8
"""Pieces of one text that are judged at once, unless the model's `max_workers` says otherwise."""


async def serve_moderation(
    request: ModerationRequest, services: Services
) -> AsyncGenerator[Output, None]:
    """Give true as soon as a piece is sensitive, false once every piece is known not to be.

    A fault before that is an error: nothing is called clean that nobody looked at.
    """
    provider = services.provider(request.provider)
    calls = prepare_moderation(
        request, provider, request_id=services.request_id, user=services.user
    )
    facts = provider.facts(ModelType.MODERATION, request.model)
    bound = count_property(facts, ModelPropertyKey.MAX_WORKERS, CONCURRENCY)
    accumulator = UsageAccumulator(facts)
    jobs = (
        partial(
            _judge,
            provider,
            replace(call, heartbeat=services.heartbeat, record_usage=accumulator.record_usage),
            services,
        )
        for call in calls
    )
    sensitive = False
    async with aclosing(ordered_gather(jobs, bound)) as verdicts:
        async for verdict in verdicts:
            if verdict:
                sensitive = True
                break
    yield Result({"result": sensitive}, accumulator.usage)


async def _judge(provider: Provider, call: ModerationCall, services: Services) -> bool:
    # A provider that somebody else wrote may forget to answer, and None is not clean.
    verdict = cast(object, await provider.moderation(call))
    if not isinstance(verdict, bool):
        problem = f"it is {type(verdict).__name__}, neither true nor false"
        raise UnusableAnswerError(provider=provider.name, model=call.model, problem=problem)
    services.heartbeat()
    return verdict


def prepare_moderation(
    request: ModerationRequest, provider: Provider, *, request_id: str = "", user: str | None = None
) -> Iterator[ModerationCall]:
    """Look the model up at once, and give a call a piece as they are asked for.

    Pieces have at most the model's `max_characters_per_chunk` characters, and are cut between
    sentences or words where possible; a model without that property gets the text whole. Raises
    `ModelNotFoundError`.
    """
    facts = provider.facts(ModelType.MODERATION, request.model)
    text = request.text
    limit = count_property(facts, ModelPropertyKey.MAX_CHARACTERS_PER_CHUNK, len(text) or 1)
    texts = pieces(text, limit) if len(text) > limit else iter((text,))
    return (
        ModerationCall(
            request_id=request_id, model=request.model, facts=facts, text=piece, user=user
        )
        for piece in texts
        if not piece.isspace() or text.isspace()
    )
