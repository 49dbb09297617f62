"""The script of one kind of call, and the check of the answers."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, NamedTuple, TypeAlias, TypeVar, cast

from pydantic import BaseModel

from invokeq.protocol.errors import InvokeqError
from invokeq.protocol.events import EventKind
from invokeq.protocol.usage import Usage

R = TypeVar("R")
A = TypeVar("A")


class UnscriptedCallError(AssertionError):
    """A call without a scripted answer, or with an answer of a wrong size.

    Not an InvokeqError: a plugin's handler of model errors must not swallow the mistake of a test.
    """


class FakeEvent(NamedTuple):
    """One event of an answer, as a worker would write it; the last usage is the invocation's."""

    kind: EventKind
    data: bytes
    blob: bytes = b""
    usage: Usage | None = None


_NO_SERIES: Final = (str, bytes, bytearray, memoryview, Mapping, BaseModel, type)

Output: TypeAlias = FakeEvent | InvokeqError
"""The next output of a fake model; an error is the last."""


@dataclass(frozen=True, slots=True)
class FakeKind(Generic[R, A]):
    """One kind of call: the types of an answer, and the events of an answer.

    `attribute` is the attribute of `session.model`. `answer` describes an answer in words, for
    errors. `accepts` returns whether a value is an answer, and `entries` returns the events of an
    answer. `nothing` returns the answer to a request without work for a model, such as a request
    without texts, and None for all other requests.
    """

    attribute: str
    answer: str
    accepts: Callable[[object], bool]
    entries: Callable[[R, A], Iterator[Output]]
    nothing: Callable[[R], A | None] = lambda _: None

    def refusal(self, value: object) -> TypeError:
        """Return the error for a value of a wrong type."""
        return TypeError(
            f"an answer of {self.attribute} is {self.answer}, an InvokeqError, or a function of"
            f" the request that gives one; not {type(value).__name__}"
        )


class Script(Generic[R, A]):
    """The answers of a fake model, used up in order; then a function answers, if there is one."""

    def __init__(self, where: str, kind: FakeKind[R, A]) -> None:
        self.calls: list[R] = []
        self.files: list[bytes] = []
        self._where = where
        self._kind = kind
        self._answers: deque[A | InvokeqError] = deque()
        self._otherwise: Callable[[R], A | InvokeqError] | None = None

    def add(self, answers: Iterable[A | InvokeqError | Callable[[R], A | InvokeqError]]) -> None:
        """Add answers; a function answers every call without an answer.

        Raises TypeError for a value of a wrong type.
        """
        for answer in answers:
            if self._is_answer(answer):
                self._answers.append(cast(A | InvokeqError, answer))
            elif callable(answer) and not isinstance(answer, type):
                self._otherwise = cast(Callable[[R], A | InvokeqError], answer)
            else:
                raise self._kind.refusal(answer)

    def answer(
        self, request: R, file: bytes | None, number: int
    ) -> Iterator[Output] | InvokeqError:
        """Return the answer to call `number` of the session, from 1; raises UnscriptedCallError."""
        self.calls.append(request)
        if file is not None:
            self.files.append(file)
        # A real worker asks no model for such a request, so no scripted answer is used up.
        answer = self._kind.nothing(request)
        if answer is None:
            answer = self._next(request, number)
        if isinstance(answer, InvokeqError):
            return answer
        return self._kind.entries(request, answer)

    def _next(self, request: R, number: int) -> A | InvokeqError:
        if self._answers:
            return self._answers.popleft()
        if self._otherwise is None:
            raise UnscriptedCallError(
                f"Call {number}, to {model_of(request)}, has no scripted answer;"
                f" add one with {self._where}.answers(...)"
            )
        try:
            answer = self._otherwise(request)
        except InvokeqError as error:
            return error
        if not self._is_answer(answer):
            raise self._kind.refusal(answer)
        return answer

    def _is_answer(self, value: object) -> bool:
        return isinstance(value, InvokeqError) or self._kind.accepts(value)


def pieces_of(answer: Iterable[Any]) -> Iterator[Any]:
    """Yield the pieces of an answer; an InvokeqError raised by a generator is the last piece."""
    try:
        yield from answer
    except InvokeqError as error:
        yield error


def is_series(value: object) -> bool:
    """Return whether a value is a series of pieces: a list, a tuple, a generator."""
    return isinstance(value, Iterable) and not isinstance(value, _NO_SERIES)


def model_of(request: object) -> str:
    """Return the name of the model of a request, for messages; summaries name none."""
    provider = getattr(request, "provider", None)
    return (
        "the summary model" if provider is None else f"{provider}/{getattr(request, 'model', '')}"
    )
