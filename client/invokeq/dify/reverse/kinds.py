"""The kinds of reverse invocation that Dify's SDK knows, and which of them are served here."""

from typing import Final

from invokeq.protocol.errors import InvalidRequestError, InvokeqError, NotServedError

SERVED: Final = (
    "llm",
    "llm_structured_output",
    "system_summary",
    "text_embedding",
    "multimodal_embedding",
    "rerank",
    "multimodal_rerank",
    "tts",
    "speech2text",
    "moderation",
)
"""Calls of models."""

STREAMED: Final = frozenset({"llm", "llm_structured_output", "tts"})
"""Those that are answered in several pieces."""

NOT_SERVED: Final = (
    "tool",
    "app",
    "storage",
    "upload_file",
    "fetch_app",
    "node_parameter_extractor",
    "node_question_classifier",
    "encrypt",
)
"""What Dify's platform answers besides."""


def refusal(kind: str) -> InvokeqError:
    """Give the error for a kind that is not served: one Dify has, or a word of no meaning."""
    if kind in NOT_SERVED:
        return NotServedError(kind=kind, known=", ".join(SERVED))
    return InvalidRequestError(
        field="type",
        problem=f"no kind of call is named {kind[:100]!r}; there are: {', '.join(SERVED)}",
    )
