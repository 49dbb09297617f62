"""Runs plugins as processes and is the platform of the processes.

Calls of models go over the queue, calls of tools to other plugins. A process starts on first use
and ends when the platform closes. Calls without a permission in the manifest are refused here,
in Dify's words; calls without the operator's permission are refused by the worker.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from invokeq.async_session import AsyncSession
from invokeq.dify.model_selector import find_facts
from invokeq.dify.platform.catalog import Catalog, Plugin
from invokeq.dify.platform.declarations import Parameter, ParameterType, Tool
from invokeq.dify.platform.files import FileServer
from invokeq.dify.platform.messages import joined
from invokeq.dify.platform.parameters import ValueContext, needs_models, read_parameters
from invokeq.dify.plugins import PluginPackage, PluginProcess
from invokeq.dify.reverse import error_text, serve
from invokeq.operations.directory import LiveWorker
from invokeq.protocol.entities import ModelFeature
from invokeq.protocol.errors import (
    CredentialsError,
    InternalError,
    InvalidRequestError,
    InvokeqError,
    PluginFailedError,
)
from invokeq.protocol.permissions import check_declared

Message = dict[str, Any]

BUILTIN: Final = "builtin"
"""Dify's type of tools from plugins."""

_NEW_FEATURES: Final = frozenset({ModelFeature.POLLING.value})
"""Features in the facts of a model that break SDKs before 0.9."""

NOBODY: Final = "DEFAULT-USER"
"""Dify's user id for calls without a user."""


@dataclass(frozen=True, slots=True)
class PlatformOptions:
    """The sender of a plugin's calls, and how plugins run.

    `python_of` returns the interpreter of a plugin. `credentials` are by provider; the credentials
    of the main plugin are under the empty name.
    """

    python_of: Callable[[PluginPackage], Awaitable[Path]]
    tenant_id: str | None = None
    user_id: str | None = None
    redis: str | None = None
    credentials: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Any])


class PluginPlatform:
    """Runs the plugins of a catalog; an async context manager for one event loop.

    `calls` counts the plugins' calls of the platform.
    """

    def __init__(self, catalog: Catalog, options: PlatformOptions) -> None:
        self.catalog = catalog
        self.calls: int = 0
        self._options = options
        self._stack = AsyncExitStack()
        self._files = FileServer()
        self._processes: dict[str, PluginProcess] = {}
        self._sessions: dict[str, AsyncSession] = {}
        self._validated: set[tuple[str, str]] = set()
        self._starting = asyncio.Lock()

    async def __aenter__(self) -> Self:
        self._stack.push_async_callback(self._files.close)
        await self._files.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def run_tool(self, name: str, given: Mapping[str, Any]) -> AsyncGenerator[Message, None]:
        """Run a tool of the main plugin and yield the tool's messages, with whole blobs.

        Parameters are checked before a process is started.
        """
        plugin = self.catalog.main
        tool = plugin.tool(name)
        parameters = await self._read(tool.declaration.parameters, given)
        async with aclosing(self._invoke_tool(plugin, tool, parameters)) as messages:
            async for message in messages:
                yield message

    async def run_strategy(
        self, name: str, given: Mapping[str, Any]
    ) -> AsyncGenerator[Message, None]:
        """Run an agent strategy of the main plugin and yield the strategy's messages."""
        plugin = self.catalog.main
        strategy = plugin.strategy(name)
        declared = strategy.declaration.parameters
        parameters = await self._read(declared, given)
        for parameter in declared:
            name_given = parameter.name in parameters
            if parameter.type is ParameterType.MODEL_SELECTOR and name_given:
                value = parameters[parameter.name]
                parameters[parameter.name] = await self._with_agent_fields(value)
        request = {
            "agent_strategy_provider": strategy.provider,
            "agent_strategy": strategy.name,
            "agent_strategy_params": parameters,
        }
        action = ("agent_strategy", "invoke_agent_strategy")
        async with aclosing(self._invoke(plugin, *action, request)) as messages:
            async for message in joined(messages):
                yield message

    async def start(self, plugin: Plugin) -> PluginProcess:
        """Return the plugin's process, started if need be.

        Raises PluginStartError, or the errors of `PlatformOptions.python_of`.
        """
        # Two calls of one plugin may arrive together; without the lock both would start a process.
        async with self._starting:
            process = self._processes.get(plugin.id)
            if process is None or process.ended:
                python = await self._options.python_of(plugin.package)
                process = await PluginProcess.start(plugin.package, python)
                self._stack.push_async_callback(process.close)
                self._processes[plugin.id] = process
            return process

    async def _invoke_tool(
        self, plugin: Plugin, tool: Tool, parameters: Mapping[str, Any]
    ) -> AsyncGenerator[Message, None]:
        credentials = await self._credentials(plugin, tool)
        request = {
            "provider": tool.provider,
            "tool": tool.name,
            "credentials": credentials,
            "credential_type": "api-key" if tool.credentials else "unauthorized",
            "tool_parameters": parameters,
        }
        async with aclosing(self._invoke(plugin, "tool", "invoke_tool", request)) as messages:
            async for message in joined(messages):
                yield message

    async def _invoke(
        self, plugin: Plugin, kind: str, action: str, request: Mapping[str, Any]
    ) -> AsyncGenerator[Message, None]:
        process = await self.start(plugin)
        messages = process.invoke(
            kind,
            action,
            request,
            user_id=self._options.user_id or NOBODY,
            on_reverse=lambda asked, payload: self._answer(plugin, asked, payload),
        )
        async with aclosing(messages):
            async for message in messages:
                yield message

    async def _answer(
        self, plugin: Plugin, kind: str, payload: Mapping[str, Any]
    ) -> AsyncGenerator[Message, None]:
        """Yield the answer to a plugin's call; an error has the text of `error_text`."""
        self.calls += 1
        try:
            # Here as well as in the worker: the worker may not know this plugin's manifest.
            check_declared(plugin.package.permissions, kind, plugin.id)
            answer = (
                self._call_tool(payload)
                if kind == "tool"
                else serve(self._session(plugin), kind, payload)
            )
            async with aclosing(answer) as pieces:
                async for piece in pieces:
                    yield piece
        except InvokeqError as error:
            # The SDK shows a plugin only text, so code and request id go into the text.
            raise InternalError(detail=error_text(error)) from error

    async def _call_tool(self, payload: Mapping[str, Any]) -> AsyncGenerator[Message, None]:
        kind = str(payload.get("tool_type") or BUILTIN)
        if kind != BUILTIN:
            raise InvalidRequestError(
                field="tool_type",
                problem=f"tools of type {kind!r} are not served by invokeq, only those of plugins",
            )
        provider, name = str(payload.get("provider")), str(payload.get("tool"))
        plugin, tool = self.catalog.find(provider, name)
        given: dict[str, Any] = payload.get("tool_parameters") or {}
        # Not strict: models invent parameters, and Dify passes unknown ones on.
        parameters = await self._read(tool.declaration.parameters, given, strict=False)
        async with aclosing(self._invoke_tool(plugin, tool, parameters)) as messages:
            async for message in messages:
                yield message

    async def _credentials(self, plugin: Plugin, tool: Tool) -> dict[str, Any]:
        """Return the credentials of a tool's provider, validated by the plugin on first use."""
        known = self._options.credentials
        given = known.get(plugin.provider_id(tool.provider)) or known.get(tool.provider)
        if given is None and plugin is self.catalog.main:
            given = known.get("")
        try:
            values = await self._read(tool.credentials, given or {})
        except InvalidRequestError as error:
            problem = f"{error.field.removeprefix('parameter ')}: {error.problem}"
            raise CredentialsError(provider=tool.provider, problem=problem) from None
        # Once a run: a check costs a request to the vendor.
        if given and (plugin.id, tool.provider) not in self._validated:
            await self._validate(plugin, tool, values)
            self._validated.add((plugin.id, tool.provider))
        return values

    async def _validate(self, plugin: Plugin, tool: Tool, values: Mapping[str, Any]) -> None:
        request = {"provider": tool.provider, "credentials": values}
        checking = self._invoke(plugin, "tool", "validate_tool_credentials", request)
        try:
            async with aclosing(checking) as replies:
                async for _ in replies:
                    pass
        except PluginFailedError as error:
            raise CredentialsError(provider=tool.provider, problem=error.message) from error

    async def _read(
        self, declared: Sequence[Parameter], given: Mapping[str, Any], *, strict: bool = True
    ) -> dict[str, Any]:
        workers = await self._workers() if needs_models(declared) else ()
        around = ValueContext(workers, self._files.offer, self.catalog.entities)
        return read_parameters(declared, given, around, strict=strict)

    async def _with_agent_fields(self, value: Mapping[str, Any]) -> dict[str, Any]:
        """Return a selector's value with the fields that Dify adds for agents: history, facts."""
        facts = find_facts(await self._workers(), value["provider"], value["model"])
        entity = None if facts is None else facts.model_dump(mode="json")
        if entity is not None:
            features: list[str] = entity["features"] or []
            entity["features"] = [name for name in features if name not in _NEW_FEATURES]
        return {"history_prompt_messages": [], "entity": entity, **value}

    async def _workers(self) -> tuple[LiveWorker, ...]:
        return await self._session(self.catalog.main).workers()

    def _session(self, plugin: Plugin) -> AsyncSession:
        """Return the session of a plugin: the plugin's own lane, the platform's tenant and user."""
        session = self._sessions.get(plugin.id)
        if session is None:
            options = self._options
            session = AsyncSession(
                plugin.id, options.tenant_id, options.user_id, redis=options.redis
            )
            self._stack.push_async_callback(session.close)
            self._sessions[plugin.id] = session
        return session
