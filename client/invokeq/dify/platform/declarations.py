"""The declarations in a plugin's YAML files: tools, agent strategies, providers and parameters.

Fields needed by a call are required and checked. Fields only shown on Dify's pages, such as icons
and tags, are ignored.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, ValidationError

from invokeq.dify.model_selector import Scope
from invokeq.dify.plugins import PluginPackage
from invokeq.protocol.codec import first_problem
from invokeq.protocol.entities import I18nObject
from invokeq.protocol.errors import InvalidConfigurationError, InvalidRequestError

M = TypeVar("M", bound=BaseModel)


class ParameterType(Enum):
    """The types of parameters; only agent strategies have `array[tools]`."""

    STRING = "string"
    NUMBER = "number"
    BOOLEAN = "boolean"
    CHECKBOX = "checkbox"
    SELECT = "select"
    DYNAMIC_SELECT = "dynamic-select"
    SECRET_INPUT = "secret-input"
    TEXT_INPUT = "text-input"
    FILE = "file"
    FILES = "files"
    MODEL_SELECTOR = "model-selector"
    APP_SELECTOR = "app-selector"
    TOOLS = "array[tools]"
    ANY = "any"
    OBJECT = "object"
    ARRAY = "array"
    DATE = "date"
    DATE_RANGE = "date-range"


def _text(value: Any) -> Any:
    """Return numbers and booleans as text: YAML reads values without quotes as such."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


class Option(BaseModel):
    """One value of a select."""

    value: Annotated[str, BeforeValidator(_text)]
    label: I18nObject | None = None


class Parameter(BaseModel):
    """One parameter; the type decides which fields count."""

    name: str = Field(min_length=1)
    type: ParameterType
    form: Literal["schema", "form", "llm"] = "form"
    scope: str | None = None
    required: bool | None = False
    default: Any = None
    min: float | None = None
    max: float | None = None
    options: list[Option] | None = None
    multiple: bool | None = False
    label: I18nObject | None = None
    human_description: I18nObject | None = None
    help: I18nObject | None = None


def _distinct(parameters: list[Parameter]) -> list[Parameter]:
    names = [parameter.name for parameter in parameters]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"declares {name} twice")
    return parameters


def _scopes_exist(parameters: list[Parameter]) -> list[Parameter]:
    for parameter in parameters:
        if parameter.type is ParameterType.MODEL_SELECTOR:
            try:
                Scope.parse(parameter.scope)
            except InvalidRequestError as error:
                raise ValueError(f"the scope of {parameter.name} {error.problem}") from None
    return parameters


Parameters = Annotated[
    list[Parameter],
    AfterValidator(_distinct),
    AfterValidator(_scopes_exist),
    BeforeValidator(lambda value: value or []),
]


class Identity(BaseModel):
    """The name of a tool, a strategy or a provider."""

    name: str = Field(min_length=1)
    author: str
    label: I18nObject


class ToolDescription(BaseModel):
    """The description of a tool, for people and for models."""

    human: I18nObject
    llm: str


class PythonSource(BaseModel):
    """The path of the code."""

    source: str


class Extra(BaseModel):
    """The part of a declaration with the path of the code."""

    python: PythonSource


class ToolDeclaration(BaseModel):
    """A tool's YAML file."""

    identity: Identity
    description: ToolDescription
    parameters: Parameters = []
    extra: Extra


class StrategyDeclaration(BaseModel):
    """An agent strategy's YAML file."""

    identity: Identity
    description: I18nObject
    parameters: Parameters = []
    extra: Extra


class _Provider(BaseModel):
    identity: Identity
    credentials_for_provider: dict[str, dict[str, Any]] | None = None
    tools: list[str] = []
    strategies: list[str] = []


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool and the provider; `written` is the unchanged YAML of the tool."""

    declaration: ToolDeclaration
    provider: str
    credentials: list[Parameter]
    written: Mapping[str, Any]

    @property
    def name(self) -> str:
        return self.declaration.identity.name


@dataclass(frozen=True, slots=True)
class Strategy:
    """An agent strategy and the provider."""

    declaration: StrategyDeclaration
    provider: str

    @property
    def name(self) -> str:
        return self.declaration.identity.name


@dataclass(frozen=True, slots=True)
class Declarations:
    """All tools and agent strategies of a plugin."""

    tools: tuple[Tool, ...]
    strategies: tuple[Strategy, ...]


def read_declarations(package: PluginPackage) -> Declarations:
    """Read all declarations of a plugin; InvalidConfigurationError names file and field."""
    tools: list[Tool] = []
    strategies: list[Strategy] = []
    for file in package.manifest.plugins.tools:
        tools += _tools_of(package, file)
    for file in package.manifest.plugins.agent_strategies:
        strategies += _strategies_of(package, file)
    return Declarations(tuple(tools), tuple(strategies))


def _tools_of(package: PluginPackage, file: str) -> Iterator[Tool]:
    provider, _ = _read(package, file, _Provider)
    fields = [
        _credential(package, file, name, field)
        for name, field in (provider.credentials_for_provider or {}).items()
    ]
    for tool in provider.tools:
        declaration, written = _read(package, tool, ToolDeclaration)
        yield Tool(declaration, provider.identity.name, fields, written)


def _strategies_of(package: PluginPackage, file: str) -> Iterator[Strategy]:
    provider, _ = _read(package, file, _Provider)
    for strategy in provider.strategies:
        declaration, _ = _read(package, strategy, StrategyDeclaration)
        yield Strategy(declaration, provider.identity.name)


def _credential(
    package: PluginPackage, file: str, name: str, field: Mapping[str, Any]
) -> Parameter:
    written = {**field, "name": name}
    return _checked(Parameter, written, package, file, f"credentials_for_provider.{name}.")


def _read(package: PluginPackage, file: str, model: type[M]) -> tuple[M, Mapping[str, Any]]:
    written = package.read_yaml(file)
    return _checked(model, written, package, file), written


def _checked(
    model: type[M], written: Mapping[str, Any], package: PluginPackage, file: str, at: str = ""
) -> M:
    try:
        return model.model_validate(written)
    except ValidationError as error:
        inner, problem = first_problem(error)
        raise InvalidConfigurationError(
            source=str(package.directory / file), setting=f"{at}{inner}", problem=problem
        ) from None
