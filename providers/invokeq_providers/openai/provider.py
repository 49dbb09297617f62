"""The provider of the type `openai`: which file serves which kind of call."""

from collections.abc import AsyncGenerator, Mapping
from typing import Any

from invokeq.protocol.entities import ModelType
from invokeq_providers.base import (
    Embedded,
    EmbeddingCall,
    LLMCall,
    ModerationCall,
    Speech,
    SpeechCall,
    TranscriptionCall,
)
from invokeq_providers.chunks import LLMChunk
from invokeq_providers.openai.api import OpenAIOptions, OpenAIVendor
from invokeq_providers.openai.embedding import embed
from invokeq_providers.openai.llm import answer_chat
from invokeq_providers.openai.moderation import moderate
from invokeq_providers.openai.speech import speak
from invokeq_providers.openai.transcription import transcribe
from invokeq_providers.options import parse_options


class OpenAIProvider(OpenAIVendor):
    """Provider of the type `openai`."""

    model_types: frozenset[ModelType] = frozenset(
        {
            ModelType.LLM,
            ModelType.TEXT_EMBEDDING,
            ModelType.TTS,
            ModelType.SPEECH2TEXT,
            ModelType.MODERATION,
        }
    )

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        super().__init__(name, options, parse_options(OpenAIOptions, name, options))

    def llm(self, call: LLMCall) -> AsyncGenerator[LLMChunk, None]:
        return answer_chat(self, call)

    async def text_embedding(self, call: EmbeddingCall) -> Embedded:
        return await embed(self, call)

    async def tts(self, call: SpeechCall) -> Speech:
        return await speak(self, call)

    async def speech2text(self, call: TranscriptionCall) -> str:
        return await transcribe(self, call)

    async def moderation(self, call: ModerationCall) -> bool:
        return await moderate(self, call)
