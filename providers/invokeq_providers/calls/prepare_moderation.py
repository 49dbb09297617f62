"""Turns a moderation request into the calls that a provider gets, one a piece of text. Pure."""

from collections.abc import Iterator

from invokeq.protocol.entities import ModelPropertyKey, ModelType
from invokeq.protocol.requests import ModerationRequest
from invokeq_providers.base import ModerationCall, Provider
from invokeq_providers.chat.sentences import pieces
from invokeq_providers.models.properties import count_property


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
