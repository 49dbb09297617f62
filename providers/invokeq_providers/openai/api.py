"""Requests through the OpenAI SDK, for every kind of call.

The SDK sends requests. Bodies of answers are read here, because building the SDK's objects costs
more than all other work on a chunk together. No request is sent twice: retries are left to the
worker, and the worker counts and reports retries.
"""

from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast

import httpx2
import openai
import orjson

from invokeq.protocol.entities import ModelType
from invokeq_providers.http.client import new_http_client
from invokeq_providers.http.vendor import VendorOptions, VendorProvider
from invokeq_providers.openai.errors import KINDS

Body = dict[str, Any]
File = tuple[str, tuple[str, bytes, str]]
"""The name of a form field, with the name, the bytes and the mime type of a file."""


class OpenAIOptions(VendorOptions):
    """Options of OpenAI: `tool_call_fragments` emits tool calls in fragments, not whole at the end.

    `organization` and `project` are sent as headers.
    """

    organization: str | None = None
    project: str | None = None
    tool_call_fragments: bool = False


class OpenAIVendor(VendorProvider):
    """The connection to one server, with the ways of sending requests."""

    vendor_url = "https://api.openai.com/v1"
    facts_name = "openai"

    def __init__(self, name: str, table: Mapping[str, Any], options: OpenAIOptions) -> None:
        super().__init__(name, table, options, KINDS)
        self.settings = options
        self._client: openai.AsyncOpenAI | None = None

    async def start(self, model_types: Collection[ModelType] | None = None) -> None:
        del model_types  # what it opens serves all of them
        self._open()

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    @asynccontextmanager
    async def post(
        self, path: str, body: Body, files: list[File] | None = None, accept: str | None = None
    ) -> AsyncGenerator[httpx2.Response, None]:
        """Send a request, and close the connection at the end of the block, on errors too.

        Raises the SDK's errors; `errors.translated` maps the SDK's errors.
        """
        response = await self._send(path, body, files, accept)
        try:
            yield response
        finally:
            await response.aclose()

    async def ask(self, path: str, body: Body, files: list[File] | None = None) -> Any:
        """Send a request, and return the JSON of the answer."""
        async with self.post(path, body, files) as response:
            return orjson.loads(await response.aread())

    async def _send(
        self, path: str, body: Body, files: list[File] | None, accept: str | None
    ) -> httpx2.Response:
        headers: dict[str, str] = {}
        if files:
            headers["Content-Type"] = "multipart/form-data"
        if accept:
            headers["Accept"] = accept
        response = await self._open().post(
            path,
            body=body,
            files=files,
            options={"headers": headers},
            cast_to=httpx2.Response,
            stream=True,
            stream_cls=cast(Any, openai.AsyncStream[Any]),
        )
        return cast(httpx2.Response, response)

    def _open(self) -> openai.AsyncOpenAI:
        if self._client is None:
            http_client = new_http_client(
                openai.DefaultAioHttpClient,
                openai.DefaultAsyncHttpxClient,
                self.settings.connect_timeout,
                self.settings.read_timeout,
            )
            client = openai.AsyncOpenAI(
                # Never None: the SDK would read OPENAI_API_KEY, and send the key to any base_url.
                api_key=self.key or "none",
                base_url=self.url,
                max_retries=0,
                timeout=http_client.timeout,
                http_client=http_client,
            )
            # For the same reason: options left out of invokeq.toml must not come from the
            # environment.
            client.organization = self.settings.organization
            client.project = self.settings.project
            client.admin_api_key = None
            self._client = client
        return self._client
