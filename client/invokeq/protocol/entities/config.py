"""Model configs: which model a call goes to, and how; the first argument of every model call.

`provider` is free text (`openai`, `langgenius/openai/openai`), and `model_type` is not checked
against the class: both are resolved where the call is run.
"""

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from invokeq.protocol.entities.message import AnyPromptMessage
from invokeq.protocol.entities.model import AIModelEntity, ModelType


class BaseModelConfig(BaseModel):
    """What all model configs have."""

    model_config: ClassVar[ConfigDict] = ConfigDict(protected_namespaces=())

    provider: str
    model: str
    model_type: ModelType


class LLMModelConfig(BaseModelConfig):
    """An LLM; `mode` is `chat` or `completion`, and any other text is let through as in Dify."""

    model_type: ModelType = ModelType.LLM
    mode: str
    completion_params: dict[Any, Any] = Field(default_factory=dict)


class AgentModelConfig(LLMModelConfig):
    """An LLM as an agent gets it: with the facts of the model and the conversation so far."""

    entity: AIModelEntity | None = None
    history_prompt_messages: list[AnyPromptMessage] = Field(default_factory=list[AnyPromptMessage])


class TTSModelConfig(BaseModelConfig):
    """A model that speaks, and the voice it uses."""

    model_type: ModelType = ModelType.TTS
    voice: str


class Speech2TextModelConfig(BaseModelConfig):
    """A model that writes down what it hears."""

    model_type: ModelType = ModelType.SPEECH2TEXT


class ModerationModelConfig(BaseModelConfig):
    """A model that flags texts."""

    model_type: ModelType = ModelType.MODERATION


class RerankModelConfig(BaseModelConfig):
    """A model that ranks texts: at most `top_n` of them, each scored `score_threshold` or more."""

    model_type: ModelType = ModelType.RERANK
    score_threshold: float
    top_n: int


class MultiModalRerankModelConfig(BaseModelConfig):
    """A model that ranks texts and pictures; None sets no bound."""

    model_type: ModelType = ModelType.RERANK
    score_threshold: float | None = None
    top_n: int | None = None


class TextEmbeddingModelConfig(BaseModelConfig):
    """A model that embeds texts."""

    model_type: ModelType = ModelType.TEXT_EMBEDDING


class MultiModalEmbeddingModelConfig(BaseModelConfig):
    """A model that embeds texts and pictures; `tenant_id` is the tenant that owns the dataset."""

    model_type: ModelType = ModelType.TEXT_EMBEDDING
    tenant_id: str
