"""The parts of a message's content, and documents to embed or rank.

`opaque_body` belongs to the vendor: the value is carried along unchanged and never read here.
"""

from enum import Enum, StrEnum
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    Field,
    JsonValue,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    model_serializer,
)


class PromptMessageContentType(StrEnum):
    """The kind of one content part."""

    TEXT = "text"
    IMAGE = "image"
    AUDIO = "audio"
    VIDEO = "video"
    DOCUMENT = "document"


class PromptMessageContent(BaseModel):
    """Base of the content parts; no part by itself, for lack of a `type`."""

    opaque_body: JsonValue | None = None

    @model_serializer(mode="wrap")
    def _keep_type(self, handler: SerializerFunctionWrapHandler, info: SerializationInfo):
        """Keep `type` in every dump: a part without the discriminator cannot be read back."""
        # No return type is named: pydantic would put it in place of the JSON schema of the fields.
        dumped: dict[str, Any] = handler(self)
        kind = getattr(self, "type", None)
        # `exclude_defaults` and `exclude_unset` drop `type`, which has its default in every part.
        if kind is None or not (info.exclude_defaults or info.exclude_unset):
            return dumped
        return {"type": kind, **dumped}


class TextPromptMessageContent(PromptMessageContent):
    """A text part."""

    type: Literal[PromptMessageContentType.TEXT] = PromptMessageContentType.TEXT
    data: str


class MultiModalPromptMessageContent(PromptMessageContent):
    """Base of the file parts, given by `url` or by `base64_data`."""

    format: str
    base64_data: str = ""
    url: str = ""
    mime_type: str
    filename: str = ""

    @property
    def data(self) -> str:
        """Return the URL where given, else the bytes as a data URL (RFC 2397)."""
        return self.url or f"data:{self.mime_type};base64,{self.base64_data}"


class ImagePromptMessageContent(MultiModalPromptMessageContent):
    """A picture part."""

    class DETAIL(Enum):
        """The level of detail for the model; more detail costs more tokens."""

        LOW = "low"
        HIGH = "high"

    type: Literal[PromptMessageContentType.IMAGE] = PromptMessageContentType.IMAGE
    detail: DETAIL = DETAIL.LOW


class AudioPromptMessageContent(MultiModalPromptMessageContent):
    """A sound part."""

    type: Literal[PromptMessageContentType.AUDIO] = PromptMessageContentType.AUDIO


class VideoPromptMessageContent(MultiModalPromptMessageContent):
    """A video part."""

    type: Literal[PromptMessageContentType.VIDEO] = PromptMessageContentType.VIDEO


class DocumentPromptMessageContent(MultiModalPromptMessageContent):
    """A document part, such as a PDF."""

    type: Literal[PromptMessageContentType.DOCUMENT] = PromptMessageContentType.DOCUMENT


PromptMessageContentUnionTypes = Annotated[
    TextPromptMessageContent
    | ImagePromptMessageContent
    | DocumentPromptMessageContent
    | AudioPromptMessageContent
    | VideoPromptMessageContent,
    Field(discriminator="type"),
]


class MultiModalContentType(StrEnum):
    """The kind of one multimodal document."""

    TEXT = "text"
    IMAGE = "image"


class MultiModalContent(BaseModel):
    """A document or query for a multimodal model: plain text, or a picture as base64."""

    content: str
    content_type: MultiModalContentType
