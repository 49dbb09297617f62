"""The error tree: sentences, the way over the wire, and what the drawing in the module says."""

import copy
import inspect
import pickle
import re
from string import Formatter
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from invokeq import errors as public
from invokeq.protocol import errors
from invokeq.protocol.errors import (
    InternalError,
    InvalidParameterError,
    InvokeqError,
    ProviderUnavailableError,
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
    names = placeholders(cls) - {"provider", "model", "attempt"}
    return error_from_wire(
        {
            "code": cls.code,
            "request_id": "ab" * 16,
            "provider": "openai",
            "model": "gpt-4o",
            "attempt": 3,
            "retry_after": 1.5,
            "fields": {name: f"<{name}>" for name in names},
        }
    )


def placeholders(cls: type[InvokeqError]) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(cls.template) if name}


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.code)
def test_an_error_survives_the_wire_and_copying(cls: type[InvokeqError]) -> None:
    error = sample(cls)
    by_pickle = pickle.loads(pickle.dumps(error))
    for again in (error_from_wire(error.to_wire()), copy.copy(error), by_pickle):
        assert type(again) is cls
        assert str(again) == str(error)
        assert again.to_wire() == error.to_wire()
    assert "{" not in str(error)
    assert "?" not in str(error)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.code)
def test_a_sentence_is_one_line_even_when_fields_are_missing(cls: type[InvokeqError]) -> None:
    error = error_from_wire({"code": cls.code})
    assert type(error) is cls
    assert "\n" not in str(error)
    assert error.retryable is cls.retryable


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.code)
def test_a_sentence_is_built_of_declared_fields(cls: type[InvokeqError]) -> None:
    error = error_from_wire({"code": cls.code})
    assert [name for name in placeholders(cls) if not hasattr(error, name)] == []


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
        name: "Exception" if cls is InvokeqError else cls.__mro__[1].__name__
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
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        cast(Any, error).nothing  # noqa: B018  reading it is the test
    with pytest.raises(TypeError, match="does not support item assignment"):
        cast(Any, error.fields)["detail"] = "other"


@pytest.mark.parametrize(
    ("given_fields", "message"),
    [
        ({}, "RateLimitedError needs the field 'detail'"),
        ({"detail": "x", "detial": "y"}, "RateLimitedError has no field 'detial'"),
        ({"detail": "x", "template": "y"}, "RateLimitedError has no field 'template'"),
    ],
)
def test_a_missing_or_unknown_field_is_refused(given_fields: dict[str, str], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        cast(Any, RateLimitedError)(**given_fields)


def test_fields_are_those_that_were_set() -> None:
    error = ProviderUnavailableError(provider="openai", model="m", detail="HTTP 500", chunks=None)
    assert error.fields == {"detail": "HTTP 500", "chunks": None}
    assert (error.status, error.calls) == (None, None)
    error.calls = 3
    error.append_to("detail", " (after 3 vendor calls)")
    error.append_to("problem", "is not set, so nothing happens")
    assert error.to_wire()["fields"] == {
        "calls": 3,
        "detail": "HTTP 500 (after 3 vendor calls)",
        "chunks": None,
    }
    assert str(error).endswith("HTTP 500 (after 3 vendor calls)")


def test_a_class_of_another_package_declares_fields_too() -> None:
    class QuotaError(RateLimitedError):
        code = "test_quota"
        template = "{tenant} is over {limit}"

        detail: str = ""
        tenant: str
        limit: int = 5

    try:
        error = QuotaError(tenant="acme")
        again = error_from_wire(error.to_wire())
    finally:
        del type_registry["test_quota"]
    assert isinstance(again, QuotaError)
    assert (str(again), again.tenant, again.limit) == ("acme is over 5", "acme", 5)
    assert error.to_wire()["fields"] == {"tenant": "acme"}
    with pytest.raises(TypeError, match="QuotaError needs the field 'tenant'"):
        cast(Any, QuotaError)(limit=5)


def test_notes_can_be_added() -> None:
    error = RateLimitedError(detail="slow down")
    error.add_note("three calls were taken back")
    assert error.__notes__ == ["three calls were taken back"]
    assert error.fields == {"detail": "slow down"}


VALUES = st.sampled_from([None, True, 0, -1.5, "", "text", "{x}\n", [], ["a", 1], {}, {"b": None}])
NAMES = st.text(max_size=10) | st.sampled_from(
    ["args", "attempt", "code", "detail", "fields", "problem", "self", "template", "__class__"]
)


@settings(deadline=None)  # a busy machine may be slow on one example
@given(cls=st.sampled_from(CLASSES), data=st.data())
def test_the_error_of_another_version_keeps_its_class_and_fields(
    cls: type[InvokeqError], data: st.DataObject
) -> None:
    known = data.draw(st.lists(st.sampled_from(sorted(placeholders(cls))), unique=True))
    fields = {name: data.draw(VALUES) for name in known} | data.draw(st.dictionaries(NAMES, VALUES))
    envelope = data.draw(st.dictionaries(st.sampled_from(["provider", "retry_after"]), VALUES))
    error = error_from_wire({"code": cls.code, "fields": fields, **envelope})
    assert type(error) is cls
    assert isinstance(str(error), str)
    envelope_names = {"request_id", "provider", "model", "attempt", "retry_after"}
    sent_on = {name: value for name, value in fields.items() if name not in envelope_names}
    assert dict(error.fields) == sent_on
    assert error_from_wire(error.to_wire()).to_wire() == error.to_wire()


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
    assert isinstance(InvalidParameterError(field="f", parameter="x", problem="y"), ValueError)
