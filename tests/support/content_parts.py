"""One content part of every type, as the JSON that both sides of the wire have for a part."""

from typing import Any, Final

FILE: Final[dict[str, Any]] = {"base64_data": "aGk=", "filename": "f", "url": ""}
PARTS: Final[dict[str, dict[str, Any]]] = {
    "text": {"type": "text", "data": "words", "opaque_body": {"signature": "s"}},
    "image": {"type": "image", "format": "png", "mime_type": "image/png", "detail": "high", **FILE},
    "audio": {"type": "audio", "format": "wav", "mime_type": "audio/wav", **FILE},
    "video": {"type": "video", "format": "mp4", "mime_type": "video/mp4", **FILE},
    "document": {
        "type": "document",
        "format": "pdf",
        "mime_type": "application/pdf",
        **FILE,
        "base64_data": "",
        "url": "https://example.com/f.pdf",
    },
}
"""By type; every field that has a default has another value in at least one of the parts."""
