"""Moderation: whether a text is sensitive. A long text is judged piece by piece."""

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
"""Pieces of one text judged at once, unless the model's `max_workers` says otherwise."""


async def serve_moderation(
    request: ModerationRequest, services: Services
) -> AsyncGenerator[Output, None]:
    """Yield true as soon as one piece is sensitive, false once all pieces are judged clean.

    A fault before the verdict is an error: no text is called clean before every piece is judged.
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
                # One sensitive piece decides; `aclosing` cancels the vendor calls still in flight.
                sensitive = True
                break
    yield Result({"result": sensitive}, accumulator.usage)


async def _judge(provider: Provider, call: ModerationCall, services: Services) -> bool:
    # A third party's provider may forget to return a verdict, and None must not count as clean.
    verdict = cast(object, await provider.moderation(call))
    if not isinstance(verdict, bool):
        problem = f"it is {type(verdict).__name__}, neither true nor false"
        raise UnusableAnswerError(provider=provider.name, model=call.model, problem=problem)
    services.heartbeat()
    return verdict


def prepare_moderation(
    request: ModerationRequest, provider: Provider, *, request_id: str = "", user: str | None = None
) -> Iterator[ModerationCall]:
    """Look up the model at once, and return a lazy iterator of calls, one a piece.

    A piece has at most `max_characters_per_chunk` characters, a property of the model. Cuts fall
    between sentences or words where possible. A model without the property gets the whole text.
    Raises `ModelNotFoundError`.
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
