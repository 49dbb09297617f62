"""The error tree: sentences, the way over the wire, and what the drawing in the module says."""

import copy
import inspect
import re

import pytest

from invokeq import errors as public
from invokeq.protocol import errors
from invokeq.protocol.errors import (
    InternalError,
    InvalidParameterError,
    InvokeqError,
    RateLimitedError,
    WorkerLostError,
    error_from_wire,
    type_registry,
)

CLASSES = sorted(
    (cls for cls in type_registry.values() if cls.__module__ == errors.__name__),
    key=lambda cls: cls.code,
)


def sample(cls: type[InvokeqError]) -> InvokeqError:
    names = set(re.findall(r"\{(\w+)", cls.template)) - {"provider", "model", "attempt"}
    return cls(
        request_id="ab" * 16,
        provider="openai",
        model="gpt-4o",
        attempt=3,
        retry_after=1.5,
        **{name: f"<{name}>" for name in names},
    )


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.code)
def test_an_error_survives_the_wire_and_copying(cls: type[InvokeqError]) -> None:
    error = sample(cls)
    for again in (error_from_wire(error.to_wire()), copy.copy(error)):
        assert type(again) is cls
        assert str(again) == str(error)
        assert again.to_wire() == error.to_wire()
    assert "{" not in str(error)
    assert "?" not in str(error)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.code)
def test_a_sentence_is_one_line_even_when_fields_are_missing(cls: type[InvokeqError]) -> None:
    assert "\n" not in str(cls())
    assert cls().retryable is cls.retryable


def test_the_drawing_shows_every_class_under_its_parent() -> None:
    drawn: dict[str, str] = {}
    stack: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"^([ |]*(?:\+- )?)(\w+Error)\b", line)
        if not found:
            continue
        depth = len(found.group(1))
        stack = [entry for entry in stack if entry[0] < depth]
        drawn[found.group(2)] = stack[-1][1] if stack else "Exception"
        stack.append((depth, found.group(2)))
    real = {
        name: cls.__mro__[1].__name__
        for name, cls in inspect.getmembers(errors, inspect.isclass)
        if issubclass(cls, InvokeqError)
    }
    assert drawn == real


def test_codes_are_unique_and_public_names_complete() -> None:
    assert len({cls.code for cls in CLASSES}) == len(CLASSES)
    assert {cls.__name__ for cls in CLASSES} <= set(public.__all__)


def test_fields_are_attributes() -> None:
    error = RateLimitedError(provider="openai", model="m", detail="slow down", retry_after=2.0)
    assert (error.retry_after, error.retryable, error.detail) == (2.0, True, "slow down")
    with pytest.raises(AttributeError, match="no field 'nothing'"):
        _ = error.nothing


def test_a_code_of_a_newer_version_becomes_an_internal_error() -> None:
    error = error_from_wire({"code": "brand_new", "message": "what it said", "attempt": 2})
    assert type(error) is InternalError
    assert (str(error), error.attempt) == ("what it said", 2)


@pytest.mark.parametrize("wire", [{}, {"code": None}, {"code": 5, "fields": []}, {"fields": "x"}])
def test_a_broken_wire_form_is_still_an_error(wire: dict[str, object]) -> None:
    assert isinstance(error_from_wire(wire), InvokeqError)


def test_fields_that_shadow_the_common_ones_do_no_harm() -> None:
    wire = WorkerLostError(worker="w", events=3).to_wire()
    wire["fields"]["attempt"] = 9
    assert isinstance(error_from_wire(wire), WorkerLostError)


def test_invalid_requests_are_value_errors() -> None:
    assert isinstance(InvalidParameterError(parameter="x", problem="y"), ValueError)
