"""Multimodal documents in the forms of vendors: texts, and pictures as base64 or by URL."""

from typing import Final

from invokeq.protocol.entities import MultiModalContent, MultiModalContentType
from invokeq.protocol.errors import InvalidRequestError

# The first bytes of a picture's format, in base64: a bare base64 text has no other sign of type.
_BEGINNINGS: Final = {
    "/9j/": "image/jpeg",
    "iVBORw0KGgo": "image/png",
    "R0lGOD": "image/gif",
    "UklGR": "image/webp",
}


def only_text(field: str, document: MultiModalContent, provider: str, model: str) -> str:
    """Return the text of a document, for an API without pictures.

    Raises `InvalidRequestError` for other content.
    """
    if document.content_type is not MultiModalContentType.TEXT:
        problem = f"the API of {provider} takes no {document.content_type.value} here"
        raise InvalidRequestError(provider=provider, model=model, field=field, problem=problem)
    return document.content


def data_url(picture: str) -> str:
    """Return the data URL of a picture in base64; URLs stay unchanged."""
    if picture.startswith(("data:", "http://", "https://")):
        return picture
    kinds = (kind for beginning, kind in _BEGINNINGS.items() if picture.startswith(beginning))
    return f"data:{next(kinds, 'image/png')};base64,{picture}"


def bare_base64(picture: str) -> str:
    """Return the base64 of a data URL; other pictures stay unchanged."""
    return picture.partition(";base64,")[2] if picture.startswith("data:") else picture
