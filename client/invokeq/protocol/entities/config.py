"""Model configs: the model of a call and the call's options; the first argument of every call.

`provider` is free text (`openai`, `langgenius/openai/openai`), and `model_type` is not checked
against the class: the worker resolves both.
"""

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from invokeq.protocol.entities.message import AnyPromptMessage
from invokeq.protocol.entities.model import AIModelEntity, ModelType


class BaseModelConfig(BaseModel):
    """The fields of all model configs."""

    model_config: ClassVar[ConfigDict] = ConfigDict(protected_namespaces=())

    provider: str
    model: str
    model_type: ModelType


class LLMModelConfig(BaseModelConfig):
    """An LLM; `mode` is `chat` or `completion`; other texts are accepted, as in Dify."""

    model_type: ModelType = ModelType.LLM
    mode: str
    completion_params: dict[Any, Any] = Field(default_factory=dict)


class AgentModelConfig(LLMModelConfig):
    """An LLM for an agent, with the facts of the model and the conversation so far."""

    entity: AIModelEntity | None = None
    history_prompt_messages: list[AnyPromptMessage] = Field(default_factory=list[AnyPromptMessage])


class TTSModelConfig(BaseModelConfig):
    """A text-to-speech model and a voice."""

    model_type: ModelType = ModelType.TTS
    voice: str


class Speech2TextModelConfig(BaseModelConfig):
    """A speech-to-text model."""

    model_type: ModelType = ModelType.SPEECH2TEXT


class ModerationModelConfig(BaseModelConfig):
    """A moderation model, which flags texts."""

    model_type: ModelType = ModelType.MODERATION


class RerankModelConfig(BaseModelConfig):
    """A rerank model; returns at most `top_n` texts with scores of `score_threshold` or more."""

    model_type: ModelType = ModelType.RERANK
    score_threshold: float
    top_n: int


class MultiModalRerankModelConfig(BaseModelConfig):
    """A rerank model for texts and pictures; None sets no bound."""

    model_type: ModelType = ModelType.RERANK
    score_threshold: float | None = None
    top_n: int | None = None


class TextEmbeddingModelConfig(BaseModelConfig):
    """An embedding model for texts."""

    model_type: ModelType = ModelType.TEXT_EMBEDDING


class MultiModalEmbeddingModelConfig(BaseModelConfig):
    """An embedding model for texts and pictures; `tenant_id` is the owner of the dataset."""

    model_type: ModelType = ModelType.TEXT_EMBEDDING
    tenant_id: str
