"""The connection to Cohere through the SDK, for every kind of call.

The SDK makes the requests. Bodies of answers are read here, because the SDK skips unreadable events
of a stream, and an answer must not lose words. Retries are left to the worker.
"""

import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from http import HTTPStatus
from typing import Any, Final

import cohere
import httpx
import orjson
from cohere.core.api_error import ApiError
from cohere.core.parse_error import ParsingError

from invokeq.protocol.entities import ModelType
from invokeq_providers.http.reported import reported_failure, said_in
from invokeq_providers.http.status_errors import Failure, retry_after_seconds
from invokeq_providers.http.vendor import (
    MAX_CONNECTIONS,
    MAX_IDLE_CONNECTIONS,
    WRITE_TIMEOUT_S,
    VendorOptions,
    VendorProvider,
)
from invokeq_providers.http.vendor_errors import ErrorKinds

Body = dict[str, Any]


class CohereOptions(VendorOptions):
    """Options of the type `cohere`; `tool_call_fragments` streams tool calls piece by piece."""

    tool_call_fragments: bool = False


def _failure(error: Exception) -> Failure | None:
    if not isinstance(error, ApiError) or error.status_code is None:
        return None
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    return Failure(
        status=error.status_code,
        detail=said_in(error.body) or "no reason given",
        retry_after=retry_after_seconds(headers, time.time()),
    )


HTTP_FAULTS: Final = (httpx.HTTPError, httpx.StreamError)
_KINDS: Final = ErrorKinds(
    faults=(ApiError, ParsingError, httpx.InvalidURL, *HTTP_FAULTS),
    silences=(httpx.ReadTimeout,),
    wrappers=(),
    failure=_failure,
)


class CohereVendor(VendorProvider):
    """The connection to Cohere, or to a server with the same API."""

    vendor_url = "https://api.cohere.com"
    facts_name = "cohere"

    def __init__(self, name: str, table: Mapping[str, Any], options: CohereOptions) -> None:
        super().__init__(name, table, options, _KINDS)
        self.settings = options
        self._client: cohere.AsyncClientV2 | None = None
        self._http: httpx.AsyncClient | None = None

    async def start(self, model_types: Collection[ModelType] | None = None) -> None:
        del model_types  # one client serves all types
        self.open()

    async def close(self) -> None:
        http, self._http, self._client = self._http, None, None
        if http is not None:
            await http.aclose()

    async def ask(self, method: Callable[..., Awaitable[Any]], body: Body) -> Any:
        """Return the JSON of an answer; `method` is one of the SDK's with a raw response.

        Raise the SDK's error, or ProviderUnavailableError for a success with an unreadable body.
        """
        try:
            raw = await method(**body)
        except (ApiError, ParsingError, TypeError) as error:
            # The SDK raises one of the three for a success with an unreadable body.
            status = 0 if isinstance(error, TypeError) else error.status_code
            if status is None or status >= HTTPStatus.BAD_REQUEST:
                raise
            failure = reported_failure(getattr(error, "body", None))
            if failure is not None:
                raise self.errors.from_failure(body["model"], failure) from error
            problem = ValueError("a success with a body that is none of the API's")
            raise self.errors.malformed(body["model"], problem) from error
        return orjson.loads(raw.response.content)

    def open(self) -> Any:
        """Return the SDK's client for raw responses, opened on first use.

        The type is Any: the SDK's own types demand SDK models where plain objects do.
        """
        if self._client is None:
            self._http = httpx.AsyncClient(
                timeout=httpx.Timeout(
                    connect=self.settings.connect_timeout,
                    read=self.settings.read_timeout,
                    write=WRITE_TIMEOUT_S,
                    pool=None,
                ),
                limits=httpx.Limits(
                    max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_IDLE_CONNECTIONS
                ),
            )
            self._client = cohere.AsyncClientV2(
                # Never None: the SDK would take CO_API_KEY, and send the key to any base_url.
                api_key=self.key or "none",
                base_url=self.url,
                # The worker retries, by the retry policy.
                max_retries=0,
                httpx_client=self._http,
                log_warning_experimental_features=False,
            )
        return self._client.with_raw_response
