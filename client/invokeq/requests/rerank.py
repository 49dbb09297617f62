"""Build the requests of rerank calls."""

from invokeq.protocol.entities import MultiModalContent, MultiModalRerankModelConfig
from invokeq.protocol.errors import InvalidRequestError
from invokeq.protocol.requests import MultiModalRerankRequest, RerankRequest
from invokeq.requests.arguments import config_of, contents_of, entity_of, text_of, texts_of


def build_rerank_request(model_config: object, docs: object, query: object) -> RerankRequest:
    """Validate the arguments of a rerank call."""
    config = _rerank_config(model_config)
    return RerankRequest(
        provider=config.provider,
        model=config.model,
        docs=texts_of("docs", docs),
        query=text_of("query", query),
        score_threshold=config.score_threshold,
        top_n=config.top_n,
    )


def build_multimodal_rerank_request(
    model_config: object, query: object, docs: object
) -> MultiModalRerankRequest:
    """Validate the arguments of a multimodal rerank call."""
    config = _rerank_config(model_config)
    return MultiModalRerankRequest(
        provider=config.provider,
        model=config.model,
        docs=contents_of("docs", docs),
        query=entity_of("query", MultiModalContent, query),
        score_threshold=config.score_threshold,
        top_n=config.top_n,
    )


def _rerank_config(value: object) -> MultiModalRerankModelConfig:
    """Return the model config; its bounds may be missing, as in the dict of a model-selector."""
    config = config_of(MultiModalRerankModelConfig, value)
    if config.top_n is not None and config.top_n < 1:
        raise InvalidRequestError(field="model_config.top_n", problem="must be at least 1, or None")
    return config
