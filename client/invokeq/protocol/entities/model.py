"""The facts of a model: type, features, properties, parameter rules and prices."""

from decimal import Decimal
from enum import Enum
from typing import Any, ClassVar, cast

from pydantic import BaseModel, ConfigDict, model_validator

from invokeq.protocol.entities.i18n import I18nObject
from invokeq.protocol.entities.parameter import ParameterRule


class ModelType(Enum):
    """The kind of work of a model."""

    LLM = "llm"
    TEXT_EMBEDDING = "text-embedding"
    RERANK = "rerank"
    SPEECH2TEXT = "speech2text"
    MODERATION = "moderation"
    TTS = "tts"
    TEXT2IMG = "text2img"


class ModelConfigScope(Enum):
    """The models offered by a model selector."""

    LLM = "llm"
    TEXT_EMBEDDING = "text-embedding"
    RERANK = "rerank"
    TTS = "tts"
    SPEECH2TEXT = "speech2text"
    MODERATION = "moderation"
    VISION = "vision"


class FetchFrom(Enum):
    """The origin of a model: the provider's list, or the operator."""

    PREDEFINED_MODEL = "predefined-model"
    CUSTOMIZABLE_MODEL = "customizable-model"


class ModelFeature(Enum):
    """The abilities of an LLM beyond answering with text."""

    TOOL_CALL = "tool-call"
    MULTI_TOOL_CALL = "multi-tool-call"
    AGENT_THOUGHT = "agent-thought"
    VISION = "vision"
    STREAM_TOOL_CALL = "stream-tool-call"
    DOCUMENT = "document"
    VIDEO = "video"
    AUDIO = "audio"
    STRUCTURED_OUTPUT = "structured-output"
    POLLING = "polling"


class ModelPropertyKey(Enum):
    """The properties of models; each type of model has some of the properties."""

    MODE = "mode"
    CONTEXT_SIZE = "context_size"
    MAX_CHUNKS = "max_chunks"
    FILE_UPLOAD_LIMIT = "file_upload_limit"
    SUPPORTED_FILE_EXTENSIONS = "supported_file_extensions"
    MAX_CHARACTERS_PER_CHUNK = "max_characters_per_chunk"
    DEFAULT_VOICE = "default_voice"
    VOICES = "voices"
    WORD_LIMIT = "word_limit"
    AUDIO_TYPE = "audio_type"
    MAX_WORKERS = "max_workers"


class EmbeddingInputType(Enum):
    """The purpose of an embedded text: a document to be found, or a query to find documents."""

    DOCUMENT = "document"
    QUERY = "query"


class PriceType(Enum):
    """The side of a call with a price of its own."""

    INPUT = "input"
    OUTPUT = "output"


class PriceConfig(BaseModel):
    """The prices of a model: tokens x `input` x `unit` is an amount in `currency`.

    A `unit` of 0.001 makes the prices per thousand tokens. Without `output`, only input is priced.
    """

    input: Decimal
    output: Decimal | None = None
    unit: Decimal
    currency: str


class PriceInfo(BaseModel):
    """The price of one side of a call; `total_amount` is tokens x `unit_price` x `unit`."""

    unit_price: Decimal
    unit: Decimal
    total_amount: Decimal
    currency: str


class ProviderModel(BaseModel):
    """A model in a provider's list; the name stands in for a missing label."""

    model_config: ClassVar[ConfigDict] = ConfigDict(protected_namespaces=())

    model: str
    label: I18nObject
    model_type: ModelType
    features: list[ModelFeature] | None = None
    fetch_from: FetchFrom = FetchFrom.PREDEFINED_MODEL
    model_properties: dict[ModelPropertyKey, Any]
    deprecated: bool = False

    @model_validator(mode="before")
    @classmethod
    def _label(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        given = cast(dict[str, Any], data)
        if given.get("label") or "model" not in given:
            return given
        return {**given, "label": {"en_US": given["model"]}}


class AIModelEntity(ProviderModel):
    """A model with parameter rules and prices."""

    parameter_rules: list[ParameterRule] = []
    pricing: PriceConfig | None = None

    @property
    def support_structure_output(self) -> bool:
        """Return whether the model can keep answers to a JSON schema."""
        return ModelFeature.STRUCTURED_OUTPUT in (self.features or ())
