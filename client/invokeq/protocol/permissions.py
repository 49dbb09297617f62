"""The permissions of a plugin's manifest, and the calls behind each, as in Dify's daemon.

A permission absent from the manifest is denied.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Final, cast

from pydantic import BaseModel, ConfigDict, ValidationError

from invokeq.protocol.codec import first_problem
from invokeq.protocol.errors import InvalidConfigurationError, PermissionDeniedError
from invokeq.protocol.kinds import find_kind


class _Switch(BaseModel):
    enabled: bool = False


class ModelSwitches(_Switch):
    """`resource.permission.model`: one switch a kind of model, and one for all kinds.

    Kinds of installed packages may have further switches.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="allow")

    llm: bool = False
    text_embedding: bool = False
    rerank: bool = False
    tts: bool = False
    speech2text: bool = False
    moderation: bool = False


class DeclaredPermissions(BaseModel):
    """`resource.permission` of a manifest; an omitted switch is off."""

    tool: _Switch = _Switch()
    model: ModelSwitches = ModelSwitches()
    node: _Switch = _Switch()
    app: _Switch = _Switch()
    storage: _Switch = _Switch()


_PLATFORM_ACCESS: Final[Mapping[str, str]] = {
    "tool": "tool",
    "node_parameter_extractor": "node",
    "node_question_classifier": "node",
    "app": "app",
    "fetch_app": "app",
    "storage": "storage",
}
"""The switch for each kind of call to the platform; the table of kinds has the models' switches."""


def declared_permissions(manifest: object, source: str) -> DeclaredPermissions:
    """Return the permissions of a parsed manifest.

    Raise InvalidConfigurationError with the path of the first wrong value.
    """
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
    """Raise PermissionDeniedError, in Dify's words, for a kind of call without a permission.

    Unknown kinds pass, and so does `upload_file`, which is absent from Dify's table.
    """
    if (access := _PLATFORM_ACCESS.get(kind)) is not None:
        allowed = bool(getattr(declared, access).enabled)
    elif (found := find_kind(kind)) is not None:
        access = found.permission
        # `is True`: a switch of an installed kind is an extra field, which pydantic does not check.
        allowed = declared.model.enabled and getattr(declared.model, access, False) is True
    else:
        return
    if not allowed:
        name = access.replace("_", "-")
        problem = f"permission denied, you need to enable {name} access in plugin manifest"
        raise PermissionDeniedError(problem=problem, plugin=plugin)


def _without_nulls(block: Any) -> Any:
    """Remove empty blocks, which YAML reads as null: an empty block counts as omitted."""
    if not isinstance(block, Mapping):
        return block
    given = cast(Mapping[str, Any], block)
    return {key: value for key, value in given.items() if value is not None}
