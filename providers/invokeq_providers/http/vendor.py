"""The common base of vendors' providers: a URL, a key, and shipped facts."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

from pydantic import Field, PositiveFloat, SecretStr

from invokeq.protocol.entities import AIModelEntity, ModelType
from invokeq.protocol.errors import CredentialsError
from invokeq_providers.base import Provider
from invokeq_providers.http.vendor_errors import ErrorKinds, VendorErrors
from invokeq_providers.models.facts import ModelFacts, shipped_facts
from invokeq_providers.options import Batch, BatchableOptions

WRITE_TIMEOUT_S: Final = 60.0
# The worker bounds how many calls run at once; a second bound here would only hide the first.
MAX_CONNECTIONS: Final = 1_000_000
MAX_IDLE_CONNECTIONS: Final = 100


class VendorOptions(BatchableOptions):
    """Options of every vendor.

    Timeouts are in seconds; `read_timeout` bounds the silence between two reads, not a call.
    `any_model` accepts models without facts; the default is true if `base_url` is set.
    """

    api_key: SecretStr | None = None
    base_url: str | None = Field(default=None, pattern=r"^https?://[^/]")
    connect_timeout: PositiveFloat = 10.0
    read_timeout: PositiveFloat = 300.0
    any_model: bool | None = None


class VendorProvider(Provider):
    """Base of providers for a vendor's API, or for a compatible server.

    The vendor requires a key; a server behind another `base_url` may need none. The constructor
    raises `CredentialsError` for a missing key.
    """

    vendor_url: ClassVar[str]
    facts_name: ClassVar[str]

    def __init__(
        self, name: str, table: Mapping[str, Any], options: VendorOptions, kinds: ErrorKinds
    ) -> None:
        super().__init__(name, table)
        self.batch: Batch | None = options.batch
        self.url: str = options.base_url or self.vendor_url
        host, own = urlsplit(self.url).hostname or "", urlsplit(self.vendor_url).hostname or ""
        # Regional endpoints put a label before the host.
        self.is_vendor: bool = host == own or host.endswith(f".{own}")
        self.key: str = options.api_key.get_secret_value() if options.api_key else ""
        if self.is_vendor and not self.key:
            problem = f"there are none; set api_key in [providers.{name}]"
            raise CredentialsError(provider=name, problem=problem)
        self.any_model: bool = (
            options.base_url is not None if options.any_model is None else options.any_model
        )
        shipped = shipped_facts(self.facts_name)
        self._facts = ModelFacts(name, shipped, options.models, any_model=self.any_model)
        secrets = [self.key] if self.key else []
        self.errors: VendorErrors = VendorErrors(name, kinds, options.read_timeout, secrets)

    def models(self) -> Sequence[AIModelEntity]:
        return self._facts.models()

    def facts(self, model_type: ModelType, model: str) -> AIModelEntity:
        return self._facts.find(model_type, model) or super().facts(model_type, model)
