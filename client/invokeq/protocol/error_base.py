"""The base class of every error: declared fields, one sentence, and the form on the wire.

An error class declares fields as annotations, like a dataclass. `template` builds one sentence from
the fields:

```python
class QuotaError(UnavailableError):
    code = "acme_quota"
    template = "Tenant {tenant} has used {used} of {limit} tokens"

    tenant: str
    used: int
    limit: int = 0
```

A type checker refuses a raise site with an undeclared field, or without a required one. At run time
such a raise site gets a TypeError with the names of class and field. A class with a `code` of the
class's own is registered, for `error_from_wire` to rebuild the errors.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Self, cast, dataclass_transform, get_origin

type_registry: dict[str, type["InvokeqError"]] = {}


def _is_class_variable(annotation: object) -> bool:
    if isinstance(annotation, str):  # of a module with postponed annotations
        return annotation.removeprefix("typing.").startswith("ClassVar")
    return annotation is ClassVar or get_origin(annotation) is ClassVar


@dataclass_transform(kw_only_default=True)
class DeclaredFields(Exception):
    """An exception with a constructor that takes exactly the annotated fields of the class.

    Not `dataclasses.dataclass`: compiling an `__init__` for each class would double the import time
    of the errors. A dataclass would also store defaults in each error and so put defaults on the
    wire.
    """

    _required: ClassVar[frozenset[str]] = frozenset()
    _declared: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        own = [n for n, kind in cls.__annotations__.items() if not _is_class_variable(kind)]
        without_default = {name for name in own if name not in cls.__dict__}
        parents = [base for base in cls.__bases__ if issubclass(base, DeclaredFields)]
        inherited = [name for parent in parents for name in parent._declared]
        required = {name for parent in parents for name in parent._required}
        cls._declared = tuple(dict.fromkeys([*inherited, *own]))
        cls._required = frozenset(required.difference(own) | without_default)
        for name in without_default:
            # An error of another version may lack the field, which then reads as None.
            setattr(cls, name, None)

    def __init__(self, **given: object) -> None:
        for name in given:
            if name not in self._declared:
                known = ", ".join(self._declared)
                raise TypeError(f"{type(self).__name__} has no field {name!r}, only: {known}")
        for name in self._declared:
            if name in self._required and name not in given:
                raise TypeError(f"{type(self).__name__} needs the field {name!r}")
        vars(self).update(given)
        super().__init__(str(self))


class InvokeqError(DeclaredFields):
    """Base of every error that invokeq raises on purpose.

    `code` is stable and meant for programs; `str(error)` is one line meant for people. `retryable`
    says whether the same request may succeed later; `retry_after` is in seconds, where known.

    On the way to the caller an error collects the work done before: `calls` counts the vendor
    calls, `tried` lists the fallback models, `segments` counts the audio segments delivered to the
    caller, and `taken_back` counts the withdrawn calls of `submit_many` (None: not known).
    """

    code: ClassVar[str] = "error"
    template: ClassVar[str] = "{code}"
    retryable: ClassVar[bool] = False

    request_id: str | None = None
    provider: str | None = None
    model: str | None = None
    attempt: int | None = None
    retry_after: float | None = None
    calls: int | None = None
    tried: list[str] | None = None
    segments: int | None = None
    taken_back: int | None = None

    _unknown: ClassVar[Mapping[str, Any]] = MappingProxyType({})

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "code" in cls.__dict__:
            type_registry[cls.code] = cls

    @property
    def fields(self) -> Mapping[str, Any]:
        """Return the fields that were set, without the envelope fields which every error has.

        Undeclared fields from a newer version on the wire are included. The mapping is a read-only
        snapshot: assign to the attributes instead.
        """
        values = vars(self)
        own = {n: values[n] for n in self._declared if n in values and n not in _ENVELOPE}
        return MappingProxyType({**self._unknown, **own})

    def append_to(self, field: str, text: str) -> None:
        """Append `text` to a text field; change nothing when the field is not set."""
        value = self.fields.get(field)
        if value is not None:
            setattr(self, field, f"{value}{text}")

    def to_wire(self) -> dict[str, Any]:
        """Return a JSON object, from which `error_from_wire` builds an equal error."""
        wire: dict[str, Any] = {"code": self.code, "message": str(self)}
        for name in _ENVELOPE:
            value = getattr(self, name)
            if value is not None:
                wire[name] = value
        if fields := self.fields:
            wire["fields"] = dict(fields)
        return wire

    def __str__(self) -> str:
        return self.template.format_map(_Sentence(self)).strip()

    def __reduce__(self) -> tuple[Any, ...]:
        return error_from_wire, (self.to_wire(),)

    @classmethod
    def restore(cls, fields: Mapping[str, Any]) -> Self:
        """Build an error from the fields of another version, which may be fewer or more."""
        # The constructor is passed over: a TypeError here would hide the error of the other side.
        error = cls.__new__(cls)
        unknown = {name: value for name, value in fields.items() if name not in cls._declared}
        vars(error).update((n, value) for n, value in fields.items() if n not in unknown)
        vars(error)["_unknown"] = unknown
        Exception.__init__(error, str(error))
        return error


_ENVELOPE = ("request_id", "provider", "model", "attempt", "retry_after")
"""The fields beside `code` on the wire; all others are in the object `fields`."""


def error_from_wire(wire: object) -> InvokeqError:
    """Rebuild an error from the object of `to_wire()`; raise nothing for a malformed object.

    An unknown code, and a value of another shape, become an InternalError. Undeclared fields are
    kept in `fields`; missing fields read as None and print as "?".
    """
    content = _mapping(wire)
    envelope = {name: content.get(name) for name in _ENVELOPE}
    code = str(content.get("code"))
    cls = type_registry.get(code)
    if cls is None:
        detail = str(content.get("message") or code)
        return type_registry["internal"].restore({**envelope, "detail": detail})
    own = {str(name): value for name, value in _mapping(content.get("fields")).items()}
    # The envelope goes last: a foreign field of the same name cannot replace the request's id.
    return cls.restore({**own, **envelope})


class _Sentence(dict[str, Any]):
    """The fields of an error for a template, with "?" for each unknown field."""

    def __init__(self, error: InvokeqError) -> None:
        super().__init__()
        self._error = error

    def __missing__(self, key: str) -> object:
        value = getattr(self._error, key, None)
        return "?" if value is None else value


def _mapping(value: object) -> Mapping[Any, Any]:
    return cast(Any, value) if isinstance(value, Mapping) else {}
