"""The permissions of each plugin: from the manifest, narrowed by the operator.

Permissions belong to the identity of the sender, as decided by the worker, never to the content of
a request. A plugin can send no content to gain a permission.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import translate
from pathlib import Path
from typing import Final, Self

from invokeq.protocol.errors import (
    InvalidConfigurationError,
    MissingExtraError,
    PermissionDeniedError,
)
from invokeq.protocol.names import canonical_provider
from invokeq.protocol.permissions import (
    DeclaredPermissions,
    check_declared,
    declared_permissions,
)
from invokeq.protocol.requests import CallRequest, ModelRequest
from invokeq_worker.config.identity import Identity
from invokeq_worker.config.models import ANY, PermissionSettings, PluginSettings

MANIFEST: Final = "manifest.yaml"
"""The name of the manifest in the directory of a plugin."""


class _Patterns:
    """Patterns of names, in which `*` matches any text; `*` alone needs no name at all."""

    def __init__(self, patterns: tuple[str, ...]) -> None:
        self.any = ANY in patterns
        self.shown = ", ".join(patterns) or "none"
        self._regex = re.compile("|".join(map(translate, patterns)) or r"(?!)")

    def match(self, name: str) -> bool:
        return self.any or self._regex.match(name) is not None


@dataclass(frozen=True, slots=True)
class _Rights:
    """The permissions of one plugin; `declared` is None if the operator names no manifest."""

    declared: DeclaredPermissions | None
    models: _Patterns
    model_types: _Patterns
    tenants: _Patterns


class Permissions:
    """The permissions of all plugins in the settings, and whether others are served."""

    def __init__(self, rights: Mapping[str, _Rights], *, serve_unknown: bool) -> None:
        self._rights = rights
        self._serve_unknown = serve_unknown

    @classmethod
    def load(
        cls,
        plugins: Mapping[str, PluginSettings],
        settings: PermissionSettings,
        directory: Path,
    ) -> Self:
        """Read the manifests; paths are relative to `directory`.

        Raises InvalidConfigurationError for an unreadable manifest.
        """
        rights = {
            name: _Rights(
                declared=read_manifest(directory / table.manifest) if table.manifest else None,
                models=_Patterns(tuple(map(_canonical, table.models))),
                model_types=_Patterns(table.model_types),
                tenants=_Patterns(table.tenants),
            )
            for name, table in plugins.items()
        }
        return cls(rights, serve_unknown=settings.unknown == "allow")

    def check(self, identity: Identity, request: CallRequest) -> None:
        """Raise PermissionDeniedError unless the plugin may make the call."""
        rights = self._rights.get(identity.plugin)
        if rights is None:
            if not self._serve_unknown:
                raise _denied(identity, "may not call models: the operator does not know it")
            return
        _check_tenant(rights, identity)
        if rights.declared is not None:
            check_declared(rights.declared, request.kind, identity.plugin)
        _check_model(rights, identity, request)


def read_manifest(path: Path) -> DeclaredPermissions:
    """Return the permissions in a manifest; `path` is the file or the directory."""
    try:
        import yaml
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            feature="Reading a manifest", package="pyyaml", extra="worker"
        ) from error
    file = path / MANIFEST if path.is_dir() else path
    try:
        manifest: object = yaml.safe_load(file.read_bytes())
    except OSError as error:
        problem = (error.strerror or str(error)).lower()
        raise InvalidConfigurationError(
            source=str(file), setting="file", problem=problem
        ) from error
    except yaml.YAMLError as error:
        problem = f"is not YAML: {' '.join(str(error).split())}"
        raise InvalidConfigurationError(
            source=str(file), setting="file", problem=problem
        ) from error
    return declared_permissions(manifest, str(file))


def _check_tenant(rights: _Rights, identity: Identity) -> None:
    if rights.tenants.any:
        return
    if identity.tenant is None:
        raise _denied(identity, "must name a tenant")
    if not rights.tenants.match(identity.tenant):
        raise _denied(identity, f"may not speak for tenant {identity.tenant!r}")


def _check_model(rights: _Rights, identity: Identity, request: CallRequest) -> None:
    kind = request.model_type.value
    if not rights.model_types.match(kind):
        allowed = rights.model_types.shown
        raise _denied(identity, f"may not call {kind} models; the operator allows it {allowed}")
    if not isinstance(request, ModelRequest):  # the model is the operator's choice
        return
    name = f"{canonical_provider(request.provider)}/{request.model}"
    if not rights.models.match(name):
        raise _denied(
            identity, f"may not call {name}; the operator allows it {rights.models.shown}"
        )


def _denied(identity: Identity, problem: str) -> PermissionDeniedError:
    return PermissionDeniedError(
        problem=f"Plugin {identity.plugin!r} {problem}", plugin=identity.plugin
    )


def _canonical(pattern: str) -> str:
    """Return a pattern with a full provider id shortened, as in requests."""
    steps = pattern.split("/")
    return "/".join([canonical_provider("/".join(steps[:3])), *steps[3:]])
