"""The messages of a conversation, and the tools that a model may ask to be called.

A message keeps the role it was given: a `UserPromptMessage` with the role `assistant` is valid, as
in Dify. `ensure_prompt_message` turns a plain object into the class of its role.
"""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Annotated, Any, Self, cast

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    JsonValue,
    SerializeAsAny,
    field_validator,
)

from invokeq.protocol.entities.content import (
    PromptMessageContentUnionTypes,
    TextPromptMessageContent,
)


class PromptMessageRole(Enum):
    """Who speaks in a message."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"
    DEVELOPER = "developer"

    @classmethod
    def value_of(cls, value: str) -> Self:
        """Look a role up by its wire value, or raise ValueError."""
        return cls(value)


class PromptMessageTool(BaseModel):
    """A tool that the model may call; `parameters` is the JSON schema of its arguments."""

    name: str
    description: str
    parameters: dict[Any, Any]


class PromptMessageFunction(BaseModel):
    """A tool in the envelope that most vendors want around it."""

    type: str = "function"
    function: PromptMessageTool


class PromptMessage(BaseModel):
    """One message; `content` is a text, a list of parts, or nothing."""

    role: PromptMessageRole
    content: str | list[PromptMessageContentUnionTypes] | None = None
    name: str | None = None

    @field_validator("content", mode="before")
    @classmethod
    def _walk(cls, value: Any) -> Any:
        # Any sequence counts as a list of parts; bytes do too, and so are refused as text.
        if isinstance(value, str | list) or not isinstance(value, Sequence):
            return cast(Any, value)
        return list(cast(Sequence[Any], value))

    def is_empty(self) -> bool:
        """Return whether the message has no content."""
        return not self.content

    def get_text_content(self) -> str:
        """Return the text of the message: the content itself, or its text parts joined."""
        if isinstance(self.content, str):
            return self.content
        parts = self.content or []
        return "".join(part.data for part in parts if isinstance(part, TextPromptMessageContent))


class UserPromptMessage(PromptMessage):
    """What the user says."""

    role: PromptMessageRole = PromptMessageRole.USER


class SystemPromptMessage(PromptMessage):
    """What the application tells the model about its task."""

    role: PromptMessageRole = PromptMessageRole.SYSTEM


class DeveloperPromptMessage(PromptMessage):
    """What the application tells a model that knows the role `developer` instead of `system`."""

    role: PromptMessageRole = PromptMessageRole.DEVELOPER


def _none_to_blank(value: Any) -> Any:
    return "" if value is None else value


def _any_to_text(value: Any) -> str:
    return "" if value is None else str(value)


class AssistantPromptMessage(PromptMessage):
    """What the model says, with the tool calls it asks for."""

    class ToolCall(BaseModel):
        """One tool call; while it is streamed, each message holds a fragment."""

        class ToolCallFunction(BaseModel):
            """The tool and its arguments, which are a JSON text."""

            name: Annotated[str, BeforeValidator(_none_to_blank)]
            arguments: Annotated[str, BeforeValidator(_none_to_blank)]

        id: Annotated[str, BeforeValidator(_any_to_text)]
        type: Annotated[str, BeforeValidator(_none_to_blank)]
        function: ToolCallFunction

    role: PromptMessageRole = PromptMessageRole.ASSISTANT
    tool_calls: list[ToolCall] = Field(default_factory=list[ToolCall])
    opaque_body: JsonValue | None = None

    def is_empty(self) -> bool:
        """Return whether content or tool calls are missing, by Dify's rule; do not filter by it."""
        return super().is_empty() or bool(self.tool_calls)


class ToolPromptMessage(PromptMessage):
    """What a tool answered to the call `tool_call_id`."""

    role: PromptMessageRole = PromptMessageRole.TOOL
    tool_call_id: str

    def is_empty(self) -> bool:
        """Return whether content or call id is missing, by Dify's rule; do not filter by it."""
        return super().is_empty() or bool(self.tool_call_id)


_CLASS_BY_ROLE: Mapping[PromptMessageRole, type[PromptMessage]] = {
    PromptMessageRole.USER: UserPromptMessage,
    PromptMessageRole.ASSISTANT: AssistantPromptMessage,
    PromptMessageRole.SYSTEM: SystemPromptMessage,
    PromptMessageRole.DEVELOPER: DeveloperPromptMessage,
    PromptMessageRole.TOOL: ToolPromptMessage,
}


def ensure_prompt_message(value: object) -> PromptMessage:
    """Turn a mapping into the message class of its role; a message is returned as it is.

    Raises ValidationError for a mapping that is no message, TypeError for anything else.
    """
    if isinstance(value, PromptMessage):
        return value
    if not isinstance(value, Mapping):
        raise TypeError(f"a prompt message is an object, not {type(value).__name__}")
    fields = dict(cast(Mapping[Any, Any], value))
    try:
        message_class = _CLASS_BY_ROLE[PromptMessageRole(fields.get("role"))]
    except ValueError:
        message_class = PromptMessage
    return message_class.model_validate(fields)


def _mapping_to_message(value: Any) -> Any:
    return ensure_prompt_message(cast(Any, value)) if isinstance(value, Mapping) else value


AnyPromptMessage = Annotated[SerializeAsAny[PromptMessage], BeforeValidator(_mapping_to_message)]
"""A field of this type takes the class of its role, and is dumped with all fields of that class."""
