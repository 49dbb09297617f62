"""The declaration of a model plugin in YAML: the provider, the models and the order of models.

Paths are relative to the plugin's folder. A file that the plugin's own SDK would refuse raises
InvalidConfigurationError with the file and the field.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel, Field, ValidationError

from invokeq.dify.plugins import PluginPackage
from invokeq.dify.plugins.manifest import read_yaml, read_yaml_list
from invokeq.protocol.codec import first_problem
from invokeq.protocol.entities import AIModelEntity, ModelType
from invokeq.protocol.errors import InvalidConfigurationError
from invokeq_providers.dify_plugin.credentials import FormField

MODEL_KEYS: Final[Mapping[str, ModelType]] = {
    "llm": ModelType.LLM,
    "text_embedding": ModelType.TEXT_EMBEDDING,
    "rerank": ModelType.RERANK,
    "tts": ModelType.TTS,
    "speech2text": ModelType.SPEECH2TEXT,
    "moderation": ModelType.MODERATION,
}
"""The types of models by key in a provider's YAML; other keys are not served."""

_POSITION: Final = "_position.yaml"

ModelT = TypeVar("ModelT", bound=BaseModel)


class _Files(BaseModel):
    predefined: list[str] = []
    position: str | None = None


class _Form(BaseModel):
    credential_form_schemas: list[FormField] = []


class _ProviderFile(BaseModel):
    provider: str = Field(min_length=1)
    supported_model_types: list[ModelType]
    models: dict[str, _Files] = {}
    provider_credential_schema: _Form | None = None
    model_credential_schema: _Form | None = None


@dataclass(frozen=True, slots=True)
class Declaration:
    """A provider of a plugin; a form is None where the plugin has no such credentials.

    `models` are the predefined models, in the plugin's order.
    """

    provider: str
    model_types: frozenset[ModelType]
    models: Sequence[AIModelEntity]
    provider_form: Sequence[FormField] | None
    model_form: Sequence[FormField] | None


def read_declaration(package: PluginPackage, wanted: str | None = None) -> Declaration:
    """Return the declaration of the provider `wanted`, by default of the only provider.

    Raise InvalidConfigurationError for a malformed file, and without a matching provider.
    """
    manifest = package.directory / "manifest.yaml"
    found: dict[str, tuple[Path, _ProviderFile]] = {}
    for relative in package.manifest.plugins.models:
        path = package.directory / relative
        file = _parsed(_ProviderFile, package.read_yaml(relative), path)
        found[file.provider] = (path, file)
    if wanted is None and len(found) == 1:
        wanted = next(iter(found))
    if wanted not in found:
        names = ", ".join(found)
        problem = f"has no provider of models called {wanted!r}; it has: {names}"
        if wanted is None:
            problem = f"has several providers, name one: {names}" if found else "has no models"
        raise InvalidConfigurationError(
            source=str(manifest), setting="plugins.models", problem=problem
        )
    return _declaration(package.directory, *found[wanted])


def _declaration(root: Path, path: Path, file: _ProviderFile) -> Declaration:
    models = [model for key in MODEL_KEYS for model in _models(root, key, file.models.get(key))]
    served = frozenset(MODEL_KEYS.values()).intersection(file.supported_model_types)
    for model in models:
        if model.model_type not in served:
            raise InvalidConfigurationError(
                source=str(path),
                setting="supported_model_types",
                problem=f"lacks {model.model_type.value}, the type of {model.model}",
            )
    provider_form, model_form = file.provider_credential_schema, file.model_credential_schema
    return Declaration(
        provider=file.provider,
        model_types=served,
        models=models,
        provider_form=provider_form and provider_form.credential_form_schemas,
        model_form=model_form and model_form.credential_form_schemas,
    )


def _models(root: Path, key: str, files: _Files | None) -> Iterator[AIModelEntity]:
    """Yield the models of one type: models with a position first, then the others by file name."""
    if files is None:
        return
    position: list[str] = []
    models: dict[str, AIModelEntity] = {}
    for path in _matches(root, files.predefined):
        if path.name.endswith(_POSITION):
            position = read_yaml_list(path, root)
        else:
            model = _parsed(AIModelEntity, read_yaml(path, root), path)
            models[model.model] = model
    if files.position is not None and (root / files.position).is_file():
        position = read_yaml_list(root / files.position, root)
    for name in position:
        if name in models:
            yield models.pop(name)
    yield from models.values()


def _matches(root: Path, patterns: Sequence[str]) -> Iterator[Path]:
    for pattern in patterns:
        try:
            yield from sorted(root.glob(pattern))
        except (ValueError, NotImplementedError):  # such as an absolute one
            continue


def _parsed(cls: type[ModelT], content: Mapping[str, Any], path: Path) -> ModelT:
    try:
        return cls.model_validate(content)
    except ValidationError as error:
        field, problem = first_problem(error)
        raise InvalidConfigurationError(source=str(path), setting=field, problem=problem) from None
