"""Marks the methods of providers that are calls of a model, so that wrappers find all of them.

A wrapper forwards every marked method through one hook for each style: retries, fallbacks and usage
then apply to the methods that a third party's provider adds just as to those of `Provider`. A
subclass that overrides a marked method need not mark it again.
"""

from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from enum import Enum
from functools import cache
from typing import Any, Final, Protocol, TypeVar

_MARK: Final = "__invokeq_call_style__"


class CallStyle(Enum):
    """How a method answers its call: with one value at the end, or with a stream of items."""

    UNARY = "unary"
    STREAMING = "streaming"


class ModelCall(Protocol):
    """The only argument of a call method; `model` names the model that is called."""

    @property
    def model(self) -> str: ...


UnaryT = TypeVar("UnaryT", bound=Callable[[Any, Any], Coroutine[Any, Any, Any]])
StreamingT = TypeVar("StreamingT", bound=Callable[[Any, Any], AsyncGenerator[Any, None]])


def unary_call(method: UnaryT) -> UnaryT:
    """Mark a coroutine method of a provider that answers one ModelCall with one value."""
    setattr(method, _MARK, CallStyle.UNARY)
    return method


def streaming_call(method: StreamingT) -> StreamingT:
    """Mark a method of a provider that answers one ModelCall with an async generator."""
    setattr(method, _MARK, CallStyle.STREAMING)
    return method


@cache
def call_styles(cls: type) -> Mapping[str, CallStyle]:
    """Return the names of the marked methods of a class, those of base classes included."""
    marks = {
        name: getattr(value, _MARK, None)
        for base in reversed(cls.__mro__)
        for name, value in vars(base).items()
        if hasattr(value, _MARK)
    }
    return {name: style for name, style in marks.items() if isinstance(style, CallStyle)}
