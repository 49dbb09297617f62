"""Join the contents of an answer's chunks, where text and generated files may alternate.

Internal: may change without notice.
"""

from collections.abc import Iterable
from typing import TypeAlias

from invokeq.protocol.entities import (
    PromptMessageContentUnionTypes,
    TextPromptMessageContent,
)

Content: TypeAlias = str | list[PromptMessageContentUnionTypes] | None


def join_contents(contents: Iterable[Content]) -> str | list[PromptMessageContentUnionTypes]:
    """Return one text, or a list of parts with neighbouring texts joined."""
    texts: list[str] = []
    parts: list[PromptMessageContentUnionTypes] = []

    def flush() -> None:
        if text := "".join(texts):
            parts.append(TextPromptMessageContent(data=text))
        texts.clear()

    for content in contents:
        if isinstance(content, str):
            texts.append(content)
            continue
        for part in content or ():
            if isinstance(part, TextPromptMessageContent) and part.opaque_body is None:
                texts.append(part.data)
            else:
                flush()
                parts.append(part)
    if not parts:
        return "".join(texts)
    flush()
    return parts
