"""Turn the arguments of callers into entities: from ours, Dify's SDK's, or plain dicts."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ValidationError

from invokeq.protocol.codec import first_problem
from invokeq.protocol.entities import MultiModalContent
from invokeq.protocol.errors import InvalidRequestError

M = TypeVar("M", bound=BaseModel)


def entity_of(field: str, entity: type[M], value: object) -> M:
    """Return `value` as an `entity`; InvalidRequestError names the field at fault."""
    if isinstance(value, entity):
        return value
    # Enums of the SDK are not ours: what both understand is their JSON.
    given = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    if not isinstance(given, Mapping):
        raise InvalidRequestError(
            field=field, problem=f"must be a {entity.__name__} or a dict, not {kind_of(value)}"
        )
    try:
        return entity.model_validate(given)
    except ValidationError as error:
        inner, problem = first_problem(error)
        raise InvalidRequestError(field=f"{field}.{inner}", problem=problem) from None


def config_of(entity: type[M], value: object, **fallbacks: Any) -> M:
    """Return a model config; `fallbacks` fill fields that the dict of a model-selector lacks."""
    if isinstance(value, Mapping):
        given = cast(Mapping[str, Any], value)
        present = {key: item for key, item in given.items() if item is not None}
        return entity_of("model_config", entity, {**fallbacks, **present})
    return entity_of("model_config", entity, value)


def items_of(field: str, value: object, what: str) -> list[object]:
    """Return the items of a list; a single text is no list."""
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        raise InvalidRequestError(
            field=field, problem=f"must be a list of {what}, not {kind_of(value)}"
        )
    return list(cast(Sequence[object], value))


def texts_of(field: str, value: object) -> list[str]:
    """Return a list of texts; InvalidRequestError names the item that is no text."""
    items = items_of(field, value, "texts")
    return [text_of(f"{field}[{i}]", item) for i, item in enumerate(items)]


def text_of(field: str, value: object) -> str:
    """Return a text, or raise InvalidRequestError."""
    if not isinstance(value, str):
        raise InvalidRequestError(field=field, problem=f"must be a text, not {kind_of(value)}")
    return value


def spoken_text_of(field: str, value: object) -> str:
    """Return a text that is not blank, or raise InvalidRequestError."""
    text = text_of(field, value)
    if not text.strip():
        raise InvalidRequestError(field=field, problem="must not be empty or only white space")
    return text


def kind_of(value: object) -> str:
    """Return the name of the type of a value, for messages."""
    return type(value).__name__


def contents_of(field: str, value: object) -> list[MultiModalContent]:
    """Return a list of multimodal contents, or raise InvalidRequestError."""
    items: Sequence[object] = items_of(field, value, "multimodal contents")
    return [entity_of(f"{field}[{i}]", MultiModalContent, item) for i, item in enumerate(items)]
