"""The models of a plugin by the operator's settings: predefined, changed and added models.

A table `[providers.<name>.models."<model>"]` changes the facts of a model of the plugin, or adds a
customizable model (`model_type` is `llm` by default). `credentials` in the table replace the
provider's credentials for the model.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from invokeq.protocol.entities import AIModelEntity, FetchFrom, ModelType
from invokeq.protocol.errors import CredentialsError, InvalidConfigurationError
from invokeq_providers.dify_plugin.credentials import fill_form, secrets_in
from invokeq_providers.dify_plugin.declaration import Declaration
from invokeq_providers.models.facts import ModelFacts
from invokeq_providers.options import CONFIG_SOURCE

_CREDENTIALS: Final = "credentials"

Credentials = Mapping[str, Any]
Key = tuple[ModelType, str]


@dataclass(frozen=True, slots=True)
class OwnModel:
    """A model with a table of the operator; `is_added` for a model not listed by the plugin."""

    key: Key
    table: Mapping[str, Any]
    credentials: Credentials | None
    is_added: bool


class PluginModels:
    """The served models, with facts and credentials.

    The constructor raises CredentialsError and InvalidConfigurationError for every fault that shows
    without a running plugin.
    """

    def __init__(
        self,
        provider: str,
        declaration: Declaration,
        credentials: Mapping[str, Any],
        tables: Mapping[str, Mapping[str, Any]],
    ) -> None:
        self._provider = provider
        self._declaration = declaration
        self._predefined = {(m.model_type, m.model): m for m in declaration.models}
        self.own: list[OwnModel] = [self._own(model, table) for model, table in tables.items()]
        self.provider_credentials: Credentials | None = self._provider_credentials(credentials)
        self._models: dict[Key, AIModelEntity] = {}
        if self.provider_credentials is not None:
            self._models.update(self._predefined)
        for own in self.own:
            if own.credentials is None and self.provider_credentials is None:
                problem = "there are none; set credentials of the provider or of the model"
                raise CredentialsError(provider=provider, model=own.key[1], problem=problem)
            self._models[own.key] = self._merged(own, self._predefined.get(own.key))
        self._credentials = {own.key: own.credentials for own in self.own}

    def models(self) -> Sequence[AIModelEntity]:
        """Return the models: the plugin's in the plugin's order, then added ones in the table's."""
        return list(self._models.values())

    def find(self, key: Key) -> AIModelEntity | None:
        """Return the facts of one model, or None for an unknown model."""
        return self._models.get(key)

    def credentials(self, key: Key) -> Credentials:
        """Return the credentials for requests about a model."""
        return self._credentials.get(key) or self.provider_credentials or {}

    def learn(self, own: OwnModel, schema: AIModelEntity) -> None:
        """Merge the plugin's facts of an added model with the operator's; the operator's win."""
        # The operator's name stays, even if the plugin's answer names the model differently.
        added = {"fetch_from": FetchFrom.CUSTOMIZABLE_MODEL, "model": own.key[1]}
        self._models[own.key] = self._merged(own, schema.model_copy(update=added))

    def secrets(self) -> Iterator[str]:
        """Yield the values to redact in logs and errors."""
        declared = self._declaration
        yield from secrets_in(declared.provider_form or (), self.provider_credentials or {})
        for own in self.own:
            yield from secrets_in(declared.model_form or (), own.credentials or {})

    def _provider_credentials(self, given: Mapping[str, Any]) -> Credentials | None:
        """Return the provider's checked credentials; None where each model has its own."""
        form = self._declaration.provider_form
        if form is None:
            if given:
                problem = "the plugin takes none of a provider; set them for each of its models"
                raise CredentialsError(provider=self._provider, problem=problem)
            return None
        if not given and any(own.credentials is not None for own in self.own):
            return None
        return fill_form(form, given, provider=self._provider)

    def _own(self, model: str, table: Mapping[str, Any]) -> OwnModel:
        model_type = self._model_type(model, table)
        facts = {key: value for key, value in table.items() if key != _CREDENTIALS}
        credentials: Credentials | None = None
        if _CREDENTIALS in table:
            credentials = fill_form(
                self._declaration.model_form or (),
                table[_CREDENTIALS],
                provider=self._provider,
                model_type=model_type,
                model=model,
            )
        key = (model_type, model)
        return OwnModel(key, facts, credentials, is_added=key not in self._predefined)

    def _model_type(self, model: str, table: Mapping[str, Any]) -> ModelType:
        if "model_type" not in table:
            known = (kind for kind, name in self._predefined if name == model)
            return next(known, ModelType.LLM)
        served = [kind.value for kind in self._declaration.model_types]
        if table["model_type"] not in served:
            raise InvalidConfigurationError(
                source=CONFIG_SOURCE,
                setting=f'providers.{self._provider}.models."{model}".model_type',
                problem=f"must be one of: {', '.join(sorted(served))}",
            )
        return ModelType(table["model_type"])

    def _merged(self, own: OwnModel, base: AIModelEntity | None) -> AIModelEntity:
        model_type, model = own.key
        fields: dict[str, Any] = {"model_type": model_type.value, "model_properties": {}}
        if base is None:
            fields["fetch_from"] = FetchFrom.CUSTOMIZABLE_MODEL.value
        else:
            fields = base.model_dump(mode="json", exclude={"model"}, exclude_none=True)
        shipped = {"models": {model: fields}}
        return ModelFacts(self._provider, shipped, {model: own.table}).models()[0]
