"""What the manifest of a plugin asks for, and which calls need it; as Dify's daemon has it.

A manifest that does not ask for something does not get it.
"""

from collections.abc import Mapping
from typing import Any, Final, cast

from pydantic import BaseModel, ValidationError

from invokeq.protocol.codec import first_problem
from invokeq.protocol.entities import ModelType
from invokeq.protocol.errors import InvalidConfigurationError, PermissionDeniedError


class _Switch(BaseModel):
    enabled: bool = False


class ModelSwitches(_Switch):
    """`resource.permission.model`: one switch a kind of model, and one for all of them."""

    llm: bool = False
    text_embedding: bool = False
    rerank: bool = False
    tts: bool = False
    speech2text: bool = False
    moderation: bool = False


class DeclaredPermissions(BaseModel):
    """`resource.permission` of a manifest; what is left out is off."""

    tool: _Switch = _Switch()
    model: ModelSwitches = ModelSwitches()
    node: _Switch = _Switch()
    app: _Switch = _Switch()
    storage: _Switch = _Switch()


MODEL_ACCESS: Final[Mapping[ModelType, str]] = {
    ModelType.LLM: "llm",
    ModelType.TEXT_EMBEDDING: "text_embedding",
    ModelType.RERANK: "rerank",
    ModelType.TTS: "tts",
    ModelType.SPEECH2TEXT: "speech2text",
    ModelType.MODERATION: "moderation",
}
"""Which switch of a manifest opens a type of model."""

_ACCESS: Final[Mapping[str, str]] = {
    "llm": "llm",
    "llm_structured_output": "llm",
    "system_summary": "llm",
    "text_embedding": "text_embedding",
    "multimodal_embedding": "text_embedding",
    "rerank": "rerank",
    "multimodal_rerank": "rerank",
    "tts": "tts",
    "speech2text": "speech2text",
    "moderation": "moderation",
    "tool": "tool",
    "node_parameter_extractor": "node",
    "node_question_classifier": "node",
    "app": "app",
    "fetch_app": "app",
    "storage": "storage",
}
"""Which switch opens a kind of call that a plugin can make."""


def declared_permissions(manifest: object, source: str) -> DeclaredPermissions:
    """Read what a parsed manifest asks for; InvalidConfigurationError names the wrong place."""
    block: object = manifest
    for key in ("resource", "permission"):
        if not isinstance(block, Mapping):
            setting = "file" if block is manifest else "resource"
            raise InvalidConfigurationError(
                source=source, setting=setting, problem="must be a mapping"
            )
        block = cast(Mapping[str, object], block).get(key) or {}
    try:
        return DeclaredPermissions.model_validate(_without_nulls(block))
    except ValidationError as error:
        inner, problem = first_problem(error)
        raise InvalidConfigurationError(
            source=source, setting=f"resource.permission.{inner}", problem=problem
        ) from None


def check_declared(declared: DeclaredPermissions, kind: str, plugin: str) -> None:
    """Raise PermissionDeniedError, in Dify's words, for a kind of call that is not asked for.

    Kinds that are not in Dify's table (`upload_file` and unknown ones) pass.
    """
    access = _ACCESS.get(kind)
    if access is not None and not _allows(declared, access):
        name = access.replace("_", "-")
        problem = f"permission denied, you need to enable {name} access in plugin manifest"
        raise PermissionDeniedError(problem=problem, plugin=plugin)


def _allows(declared: DeclaredPermissions, access: str) -> bool:
    if access in ("tool", "node", "app", "storage"):
        return bool(getattr(declared, access).enabled)
    return declared.model.enabled and bool(getattr(declared.model, access))


def _without_nulls(block: Any) -> Any:
    """Take an empty block, which YAML reads as null, for one that is left out."""
    if not isinstance(block, Mapping):
        return block
    given = cast(Mapping[str, Any], block)
    return {key: value for key, value in given.items() if value is not None}
