"""Multimodal documents as vendors take them: texts, and pictures as base64 or by URL."""

from typing import Final

from invokeq.protocol.entities import MultiModalContent, MultiModalContentType
from invokeq.protocol.errors import InvalidRequestError

# How the base64 of a picture begins, by the first bytes of its format.
_BEGINNINGS: Final = {
    "/9j/": "image/jpeg",
    "iVBORw0KGgo": "image/png",
    "R0lGOD": "image/gif",
    "UklGR": "image/webp",
}


def only_text(field: str, document: MultiModalContent, provider: str, model: str) -> str:
    """Give the text of a document, for an API that takes nothing else."""
    if document.content_type is not MultiModalContentType.TEXT:
        problem = f"the API of {provider} takes no {document.content_type.value} here"
        raise InvalidRequestError(provider=provider, model=model, field=field, problem=problem)
    return document.content


def data_url(picture: str) -> str:
    """Make a data URL of a picture, unless it is one or another URL already."""
    if picture.startswith(("data:", "http://", "https://")):
        return picture
    kinds = (kind for beginning, kind in _BEGINNINGS.items() if picture.startswith(beginning))
    return f"data:{next(kinds, 'image/png')};base64,{picture}"


def bare_base64(picture: str) -> str:
    """Give a picture without what a data URL puts before its base64; other URLs stay."""
    return picture.partition(";base64,")[2] if picture.startswith("data:") else picture
