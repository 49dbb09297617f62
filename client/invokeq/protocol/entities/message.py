"""The messages of a conversation, and the tools for a model to call.

A message keeps the given role: a `UserPromptMessage` with the role `assistant` is valid, as in
Dify. `ensure_prompt_message` turns a plain object into the message class of the role.
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
    """The author of a message."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"
    DEVELOPER = "developer"

    @classmethod
    def value_of(cls, value: str) -> Self:
        """Return the role of a wire value; raise ValueError for an unknown value."""
        return cls(value)


class PromptMessageTool(BaseModel):
    """A tool for the model to call; `parameters` is the JSON schema of the arguments."""

    name: str
    description: str
    parameters: dict[Any, Any]


class PromptMessageFunction(BaseModel):
    """A tool in the envelope of most vendors' wires."""

    type: str = "function"
    function: PromptMessageTool


class PromptMessage(BaseModel):
    """One message; `content` is a text, a list of parts, or None."""

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
        """Return the text of the message: the whole content, or the text parts joined."""
        if isinstance(self.content, str):
            return self.content
        parts = self.content or []
        return "".join(part.data for part in parts if isinstance(part, TextPromptMessageContent))


class UserPromptMessage(PromptMessage):
    """A message of the user."""

    role: PromptMessageRole = PromptMessageRole.USER


class SystemPromptMessage(PromptMessage):
    """An instruction of the application to the model."""

    role: PromptMessageRole = PromptMessageRole.SYSTEM


class DeveloperPromptMessage(PromptMessage):
    """An instruction of the application, for models with the role `developer` for `system`."""

    role: PromptMessageRole = PromptMessageRole.DEVELOPER


# Some vendors stream fragments of a tool call with null for the parts already sent.
def _none_to_blank(value: Any) -> Any:
    return "" if value is None else value


def _any_to_text(value: Any) -> str:
    return "" if value is None else str(value)


class AssistantPromptMessage(PromptMessage):
    """A message of the model, with the tool calls requested by the model."""

    class ToolCall(BaseModel):
        """One tool call; in a stream, each message holds a fragment."""

        class ToolCallFunction(BaseModel):
            """The name of the tool and the arguments, a JSON text."""

            name: Annotated[str, BeforeValidator(_none_to_blank)]
            arguments: Annotated[str, BeforeValidator(_none_to_blank)]

        id: Annotated[str, BeforeValidator(_any_to_text)]
        type: Annotated[str, BeforeValidator(_none_to_blank)]
        function: ToolCallFunction

    role: PromptMessageRole = PromptMessageRole.ASSISTANT
    tool_calls: list[ToolCall] = Field(default_factory=list[ToolCall])
    opaque_body: JsonValue | None = None

    def is_empty(self) -> bool:
        """Return whether content is empty or tool calls exist: Dify's rule, useless as a filter."""
        # Dify's SDK has the inverted test of tool calls, and plugins may depend on the result.
        return super().is_empty() or bool(self.tool_calls)


class ToolPromptMessage(PromptMessage):
    """The answer of a tool to the call `tool_call_id`."""

    role: PromptMessageRole = PromptMessageRole.TOOL
    tool_call_id: str

    def is_empty(self) -> bool:
        """Return whether content is empty or a call id exists: Dify's rule, useless as a filter."""
        return super().is_empty() or bool(self.tool_call_id)


_CLASS_BY_ROLE: Mapping[PromptMessageRole, type[PromptMessage]] = {
    PromptMessageRole.USER: UserPromptMessage,
    PromptMessageRole.ASSISTANT: AssistantPromptMessage,
    PromptMessageRole.SYSTEM: SystemPromptMessage,
    PromptMessageRole.DEVELOPER: DeveloperPromptMessage,
    PromptMessageRole.TOOL: ToolPromptMessage,
}


def ensure_prompt_message(value: object) -> PromptMessage:
    """Return the message of a mapping, in the class of the role; return a message unchanged.

    Raise ValidationError for a mapping of another shape, TypeError for all other values.
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


# Without SerializeAsAny pydantic would dump the base class's fields only, and lose the tool calls.
AnyPromptMessage = Annotated[SerializeAsAny[PromptMessage], BeforeValidator(_mapping_to_message)]
"""The type of a message field: reads the class of the role, and dumps all fields of the class."""
