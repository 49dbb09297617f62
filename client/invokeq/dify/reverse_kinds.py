"""The kinds of reverse invocation: calls of a plugin to the platform.

Calls of models are in the table `invokeq.protocol.kinds`, with kinds of installed packages. Listed
here are only the kinds of Dify's platform without an answer in invokeq.
"""

from dataclasses import dataclass
from typing import Final

from invokeq.protocol.kinds import call_kinds, find_kind


@dataclass(frozen=True, slots=True)
class PlatformKind:
    """A kind of call served by Dify's platform alone.

    `path` is relative to `/inner/api/` of Dify's inner API, or None if the daemon sends none.
    `streamed` says whether Dify's wire answers with several objects.
    """

    name: str
    path: str | None = None
    streamed: bool = False


PLATFORM_KINDS: Final = (
    PlatformKind("tool", "invoke/tool", streamed=True),
    PlatformKind("app", "invoke/app", streamed=True),
    PlatformKind("storage"),
    PlatformKind("upload_file", "upload/file/request"),
    PlatformKind("fetch_app", "fetch/app/info"),
    PlatformKind("node_parameter_extractor", "invoke/parameter-extractor"),
    PlatformKind("node_question_classifier", "invoke/question-classifier"),
    PlatformKind("encrypt", "invoke/encrypt"),
)
"""Refused with a message about the served kinds."""


def served_kinds() -> tuple[str, ...]:
    """Return the names of all served kinds: calls of models."""
    return tuple(call_kinds())


def is_platform_kind(name: str) -> bool:
    """Return whether Dify's platform answers a kind and invokeq refuses the kind."""
    return any(kind.name == name for kind in PLATFORM_KINDS)


def is_streamed(name: str) -> bool:
    """Return whether Dify's SDK and daemon expect several objects as the answer to a kind."""
    found = find_kind(name)
    if found is not None:
        return found.streamed
    return any(kind.streamed for kind in PLATFORM_KINDS if kind.name == name)


def find_kind_name(path: str) -> str | None:
    """Return the name of the kind behind a path of Dify's inner API, or None."""
    kinds = (*call_kinds().values(), *PLATFORM_KINDS)
    return next((kind.name for kind in kinds if kind.path == path), None)
