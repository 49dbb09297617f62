"""Build the requests of embedding calls."""

from invokeq.protocol.entities import (
    EmbeddingInputType,
    MultiModalEmbeddingModelConfig,
    TextEmbeddingModelConfig,
)
from invokeq.protocol.errors import InvalidRequestError
from invokeq.protocol.requests import MultiModalEmbeddingRequest, TextEmbeddingRequest
from invokeq.requests.arguments import config_of, contents_of, texts_of


def build_embedding_request(
    model_config: object, texts: object, input_type: object
) -> TextEmbeddingRequest:
    """Validate the arguments of an embedding call."""
    config = config_of(TextEmbeddingModelConfig, model_config)
    return TextEmbeddingRequest(
        provider=config.provider,
        model=config.model,
        texts=texts_of("texts", texts),
        input_type=_input_type(input_type),
    )


def build_multimodal_embedding_request(
    model_config: object, documents: object, input_type: object
) -> MultiModalEmbeddingRequest:
    """Validate the arguments of a multimodal embedding call; the tenant of the config is unused."""
    config = config_of(MultiModalEmbeddingModelConfig, model_config, tenant_id="")
    return MultiModalEmbeddingRequest(
        provider=config.provider,
        model=config.model,
        documents=contents_of("documents", documents),
        input_type=_input_type(input_type),
    )


def _input_type(value: object) -> EmbeddingInputType:
    """Return the input type, from our enum, the enum of Dify's SDK, or its text."""
    try:
        return EmbeddingInputType(getattr(value, "value", value))
    except ValueError:
        known = ", ".join(kind.value for kind in EmbeddingInputType)
        raise InvalidRequestError(field="input_type", problem=f"must be one of {known}") from None
