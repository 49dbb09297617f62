"""Marks of provider methods that call a model, so that wrappers find every such method.

A wrapper forwards every marked method through one hook for each style. Retries, fallbacks and usage
then apply to the extra methods of a third party's provider, too. A subclass overrides a marked
method without another mark.
"""

from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from enum import Enum
from functools import cache
from typing import Any, Final, Protocol, TypeVar

_MARK: Final = "__invokeq_call_style__"


class CallStyle(Enum):
    """Style of a method's answer: one value at the end, or a stream of items."""

    UNARY = "unary"
    STREAMING = "streaming"


class ModelCall(Protocol):
    """The only argument of a call method; `model` is the name of the called model."""

    @property
    def model(self) -> str: ...


UnaryT = TypeVar("UnaryT", bound=Callable[[Any, Any], Coroutine[Any, Any, Any]])
StreamingT = TypeVar("StreamingT", bound=Callable[[Any, Any], AsyncGenerator[Any, None]])


def unary_call(method: UnaryT) -> UnaryT:
    """Mark a coroutine method of a provider: one ModelCall in, one value out."""
    setattr(method, _MARK, CallStyle.UNARY)
    return method


def streaming_call(method: StreamingT) -> StreamingT:
    """Mark a method of a provider: one ModelCall in, an async generator out."""
    setattr(method, _MARK, CallStyle.STREAMING)
    return method


@cache
def call_styles(cls: type) -> Mapping[str, CallStyle]:
    """Return name and style of the marked methods of a class, base classes included."""
    # Base classes first: an override without a mark has no entry, and so keeps the inherited one.
    marks = {
        name: getattr(value, _MARK, None)
        for base in reversed(cls.__mro__)
        for name, value in vars(base).items()
        if hasattr(value, _MARK)
    }
    return {name: style for name, style in marks.items() if isinstance(style, CallStyle)}
