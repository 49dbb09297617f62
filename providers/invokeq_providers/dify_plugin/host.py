"""A running plugin: the environment, the processes, and the checks before the first call."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any, Final

from invokeq.dify.plugins import PluginPackage, PluginProcess, prepare_environment
from invokeq.protocol.entities import AIModelEntity, ModelType
from invokeq.protocol.errors import (
    InvalidConfigurationError,
    PermissionDeniedError,
    PluginFailedError,
)
from invokeq_providers.dify_plugin import answers
from invokeq_providers.dify_plugin.errors import PluginErrors
from invokeq_providers.dify_plugin.models import OwnModel, PluginModels
from invokeq_providers.dify_plugin.options import DifyPluginOptions
from invokeq_providers.dify_plugin.pool import ProcessPool
from invokeq_providers.options import CONFIG_SOURCE

_TYPE: Final = "model"


class PluginHost:
    """The processes of one provider; `name` is the provider's table in invokeq.toml."""

    def __init__(
        self,
        name: str,
        package: PluginPackage,
        provider: str,
        models: PluginModels,
        options: DifyPluginOptions,
    ) -> None:
        self._name = name
        self._package = package
        self._provider = provider
        self._models = models
        self._options = options
        self._secrets = tuple(models.secrets())
        self.errors: PluginErrors = PluginErrors(name, self._secrets)
        self._pool: ProcessPool | None = None
        self._opening = asyncio.Lock()

    async def open(self) -> ProcessPool:
        """Start the plugin, check credentials, and ask for the facts of added models; idempotent.

        Raise CredentialsError, InvalidConfigurationError, PluginEnvironmentError or
        PluginStartError.
        """
        # Calls that arrive during the start wait for the lock instead of starting a second pool.
        async with self._opening:
            if self._pool is None:
                options = self._options
                python = options.python or await prepare_environment(self._package)
                pool = ProcessPool(
                    self._package.id, options.processes, partial(self._start_one, python)
                )
                await pool.start()
                try:
                    await self._introduce(await pool.pick())
                # Cancellation included: no process may outlive a start that failed.
                except BaseException:
                    await pool.close()
                    raise
                self._pool = pool
            return self._pool

    @property
    def sessions(self) -> int:
        """The number of open sessions."""
        return 0 if self._pool is None else self._pool.sessions

    @property
    def processes(self) -> int:
        """The number of processes that take calls."""
        return 0 if self._pool is None else len(self._pool.alive)

    async def close(self) -> None:
        """End the processes."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close()

    def request(self, model_type: ModelType, model: str) -> dict[str, Any]:
        """Return the common fields of all requests about a model."""
        return {
            "provider": self._provider,
            "model_type": model_type.value,
            "model": model,
            "credentials": self._models.credentials((model_type, model)),
        }

    async def ask(
        self, action: str, request: Mapping[str, Any], user: str | None
    ) -> AsyncGenerator[Mapping[str, Any], None]:
        """Yield the messages of one session; closing the generator closes the session.

        Raise the errors of the plugin's process, and the errors of `open`.
        """
        # After a failed start, the next call starts the plugin again.
        pool = await self.open()
        process = await pool.pick()
        session = process.invoke(
            _TYPE, action, request, user_id=user or "", on_reverse=_refuse_reverse
        )
        async with aclosing(session) as messages:
            async for message in messages:
                yield message

    async def _start_one(self, python: Path) -> PluginProcess:
        return await PluginProcess.start(
            self._package,
            python,
            env=self._options.env,
            secrets=self._secrets,
            start_timeout=self._options.start_timeout,
        )

    async def _introduce(self, process: PluginProcess) -> None:
        """Check the credentials, and learn the facts of added models, by asking the plugin."""
        given = self._models.provider_credentials
        if self._options.validate_credentials and given is not None:
            request = {"provider": self._provider, "credentials": given}
            await self._validate(process, "validate_provider_credentials", request, None)
        for own in self._models.own:
            request = self.request(*own.key)
            if self._options.validate_credentials and own.credentials is not None:
                await self._validate(process, "validate_model_credentials", request, own.key[1])
            if own.is_added:
                await self._learn(process, own, request)

    async def _validate(
        self, process: PluginProcess, action: str, request: Mapping[str, Any], model: str | None
    ) -> None:
        try:
            await _ask_process(process, action, request)
        except PluginFailedError as error:
            raise self.errors.refused(error, model) from None

    async def _learn(
        self, process: PluginProcess, own: OwnModel, request: Mapping[str, Any]
    ) -> None:
        try:
            # A wrong number of messages is a ValueError, one of `NO_ANSWER`.
            (answer,) = await _ask_process(process, "get_ai_model_schemas", request)
            schema = answer["model_schema"]
            if schema is not None:
                self._models.learn(own, AIModelEntity.model_validate(schema))
        except (PluginFailedError, *answers.NO_ANSWER) as error:
            problem = f"the plugin cannot describe it ({type(error).__name__})"
            if isinstance(error, PluginFailedError):
                problem = f"the plugin cannot describe it ({error.error_type}: {error.message})"
            raise InvalidConfigurationError(
                source=CONFIG_SOURCE,
                setting=f'providers.{self._name}.models."{own.key[1]}"',
                problem=problem,
            ) from None


async def _ask_process(
    process: PluginProcess, action: str, request: Mapping[str, Any]
) -> list[Mapping[str, Any]]:
    async with aclosing(process.invoke(_TYPE, action, request, user_id="")) as messages:
        return [message async for message in messages]


async def _refuse_reverse(kind: str, request: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
    """Refuse a reverse invocation: the platform allows model plugins none."""
    del kind, request
    # The text of Dify's own refusal. The `yield` makes the function a generator.
    raise PermissionDeniedError(problem="you can not invoke dify from model")
    yield {}
