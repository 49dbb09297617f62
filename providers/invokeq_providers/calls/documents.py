"""Checks texts and multimodal documents before a model sees them, for several kinds of call."""

from collections.abc import Sequence

from invokeq.protocol.entities import (
    AIModelEntity,
    ModelFeature,
    MultiModalContent,
    MultiModalContentType,
)
from invokeq.protocol.errors import InvalidRequestError


def check_text(field: str, text: str, facts: AIModelEntity, provider: str) -> None:
    """Raise `InvalidRequestError` for an empty or blank text.

    Vendors treat blank text in different ways, so no blank text reaches a vendor.
    """
    if not text or text.isspace():
        what = "is only white space" if text else "is empty"
        raise InvalidRequestError(provider=provider, model=facts.model, field=field, problem=what)


def check_texts(field: str, texts: Sequence[str], facts: AIModelEntity, provider: str) -> None:
    """Raise `InvalidRequestError` for the first blank text; the field holds the index."""
    for i, text in enumerate(texts):
        check_text(f"{field}[{i}]", text, facts, provider)


def takes_documents(facts: AIModelEntity) -> bool:
    """Return whether the model takes pictures, by the feature `vision`."""
    return ModelFeature.VISION in (facts.features or ())


def check_documents(
    field: str, documents: Sequence[MultiModalContent], facts: AIModelEntity, provider: str
) -> None:
    """Raise `InvalidRequestError` for the first unfit document; the field holds the index."""
    for i, document in enumerate(documents):
        check_document(f"{field}[{i}]", document, facts, provider)


def check_document(
    field: str, document: MultiModalContent, facts: AIModelEntity, provider: str
) -> None:
    """Raise `InvalidRequestError` for an empty document, or one beyond the model's features."""
    check_text(field, document.content, facts, provider)
    if document.content_type is not MultiModalContentType.TEXT and not takes_documents(facts):
        raise InvalidRequestError(
            provider=provider,
            model=facts.model,
            field=field,
            problem=f"{provider}/{facts.model} takes no {document.content_type.value}"
            f" (it lacks the feature {ModelFeature.VISION.value})",
        )
