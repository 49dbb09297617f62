"""Turns a speech request into the calls that a provider gets, one a piece of text. Pure."""

from collections.abc import Iterator
from typing import Final

from invokeq.protocol.entities import AIModelEntity, ModelPropertyKey, ModelType
from invokeq.protocol.errors import InvalidRequestError
from invokeq.protocol.requests import TTSRequest
from invokeq_providers.base import Provider, SpeechCall
from invokeq_providers.calls.prepare_documents import check_text
from invokeq_providers.chat.sentences import pieces
from invokeq_providers.models.properties import count_property, text_property, voices

PIECE_CHARACTERS: Final = 400
"""What is spoken at once at most: about half a minute of audio, and few enough vendor calls."""


def prepare_tts(
    request: TTSRequest, provider: Provider, *, request_id: str = "", user: str | None = None
) -> Iterator[SpeechCall]:
    """Choose the voice at once, and give a call a piece as they are asked for.

    The first piece is one sentence, so that a listener hears it soon; the others are as many as fit
    `PIECE_CHARACTERS` and the model's `word_limit`, which counts characters. Raises
    `ModelNotFoundError`, or `InvalidRequestError` for a text of nothing but white space, and for an
    unknown voice with those there are.
    """
    facts = provider.facts(ModelType.TTS, request.model)
    check_text("content_text", request.content_text, facts, provider.name)
    voice = choose_voice(request.voice, facts, provider.name)
    limit = count_property(facts, ModelPropertyKey.WORD_LIMIT, PIECE_CHARACTERS)
    texts = pieces(request.content_text, min(limit, PIECE_CHARACTERS), first_alone=True)
    return (
        SpeechCall(
            request_id=request_id,
            model=request.model,
            facts=facts,
            text=text,
            voice=voice,
            user=user,
        )
        for text in texts
        if not text.isspace()
    )


def choose_voice(voice: str, facts: AIModelEntity, provider: str) -> str:
    """Give the vendor's word for a voice, which may be asked for by its name as well.

    Without one it is the model's `default_voice`, else its first. A model that lists no voices
    leaves it to its vendor to know them.
    """
    known = voices(facts)
    default = text_property(facts, ModelPropertyKey.DEFAULT_VOICE)
    if not voice.strip():
        voice = default or (known[0].value if known else "")
    for found in known:
        if voice in {found.value, found.name}:
            return found.value
    if voice and (not known or voice == default):
        return voice
    there_are = ", ".join(found.value for found in known) or "none that invokeq knows of"
    problem = f"no voice is called {voice!r}" if voice else "is needed"
    raise InvalidRequestError(
        provider=provider,
        model=facts.model,
        field="voice",
        problem=f"{problem}; {provider}/{facts.model} has: {there_are}",
        voices=[found.value for found in known],
    )
