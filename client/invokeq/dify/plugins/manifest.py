"""The manifest.yaml of a plugin, as far as needed to run the plugin.

Fields for the pages of a platform (icons, labels, descriptions) are ignored.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from invokeq.protocol.codec import first_problem
from invokeq.protocol.errors import InvalidConfigurationError, MissingExtraError

MANIFEST: Final = "manifest.yaml"

_MAX_YAML_BYTES: Final = 4 * 1024 * 1024  # far above any real file of facts


class _Part(BaseModel):
    # Versions are often written without quotes, and YAML reads those as numbers.
    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, coerce_numbers_to_str=True)


class Runner(_Part):
    """How the plugin is run; `version` is the requested Python version."""

    language: str
    version: str
    entrypoint: str = Field(min_length=1)


class Meta(_Part):
    """The part of the manifest about the package."""

    runner: Runner


class Extensions(_Part):
    """The extensions of the plugin: YAML files relative to the folder, one a provider."""

    tools: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    agent_strategies: tuple[str, ...] = ()
    endpoints: tuple[str, ...] = ()
    datasources: tuple[str, ...] = ()
    triggers: tuple[str, ...] = ()


class PluginManifest(_Part):
    """A manifest.yaml without `resource.permission`, which `protocol.permissions` reads."""

    name: str = Field(pattern=r"^[a-z0-9_-]{1,128}$")
    author: str = Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")
    version: str
    plugins: Extensions
    meta: Meta


def parse_manifest(content: Mapping[str, Any], source: str) -> PluginManifest:
    """Return a checked manifest, or raise InvalidConfigurationError with the wrong field."""
    try:
        manifest = PluginManifest.model_validate(_without_nulls(content))
    except ValidationError as error:
        field, problem = first_problem(error)
        raise InvalidConfigurationError(source=source, setting=field, problem=problem) from None
    runner = manifest.meta.runner
    if runner.language != "python":
        problem = f"must be python, not {runner.language!r}"
        raise InvalidConfigurationError(
            source=source, setting="meta.runner.language", problem=problem
        )
    return manifest


def read_yaml(path: Path, root: Path) -> dict[str, Any]:
    """Read a mapping from a YAML file within `root`, or raise InvalidConfigurationError."""
    content = _read(path, root)
    if not isinstance(content, dict):
        raise _wrong(path, "must be a mapping")
    return cast(dict[str, Any], content)


def read_yaml_list(path: Path, root: Path) -> list[str]:
    """Read a list of names from a YAML file within `root`, or raise InvalidConfigurationError."""
    content = _read(path, root)
    if content is not None and not isinstance(content, list):
        raise _wrong(path, "must be a list")
    return [str(item) for item in cast(list[Any], content or [])]


def _read(path: Path, root: Path) -> object:
    if not path.resolve().is_relative_to(root.resolve()):
        raise _wrong(path, "lies outside of the plugin's folder")
    yaml = _yaml()
    try:
        if path.stat().st_size > _MAX_YAML_BYTES:
            raise _wrong(path, f"is larger than {_MAX_YAML_BYTES} bytes")
        # libyaml's loader needs a tenth of the time, and a vendor's facts are many files.
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        return yaml.load(path.read_text(encoding="utf-8"), Loader=loader)
    except OSError as error:
        raise _wrong(path, f"cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise _wrong(path, "is not UTF-8") from None
    except yaml.YAMLError as error:
        raise _wrong(path, f"is not YAML ({' '.join(str(error).split())})") from None


def _wrong(path: Path, problem: str) -> InvalidConfigurationError:
    return InvalidConfigurationError(source=str(path), setting="file", problem=problem)


def _yaml() -> Any:
    try:
        import yaml
    except ModuleNotFoundError:
        raise MissingExtraError(feature="plugins", package="pyyaml", extra="plugins") from None
    return yaml


def _without_nulls(value: Any) -> Any:
    """Return a mapping without null values: YAML reads an empty block as null."""
    if isinstance(value, Mapping):
        given = cast(Mapping[Any, Any], value)
        return {str(key): _without_nulls(item) for key, item in given.items() if item is not None}
    return value
