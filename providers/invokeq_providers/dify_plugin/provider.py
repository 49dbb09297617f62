"""The provider of the type `dify_plugin`: converts calls to requests of the SDK's forward protocol.

A closed call closes the session and drops the answer at once. The SDK has no message to stop the
plugin's thread, so the plugin reads the vendor's answer to the end.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final, Protocol, TypeVar

from pydantic import ValidationError

from invokeq.dify.plugins import PluginPackage, load_package
from invokeq.protocol.entities import (
    AIModelEntity,
    LLMResultChunk,
    ModelType,
    MultiModalContent,
    UserPromptMessage,
)
from invokeq.protocol.errors import (
    InvalidConfigurationError,
    InvokeqError,
)
from invokeq_providers.base import (
    Embedded,
    EmbeddingCall,
    LLMCall,
    ModerationCall,
    Provider,
    RerankCall,
    Score,
    Speech,
    SpeechCall,
    TranscriptionCall,
)
from invokeq_providers.dify_plugin import answers
from invokeq_providers.dify_plugin.declaration import read_declaration
from invokeq_providers.dify_plugin.host import PluginHost
from invokeq_providers.dify_plugin.models import PluginModels
from invokeq_providers.dify_plugin.options import DifyPluginOptions
from invokeq_providers.options import CONFIG_SOURCE, Batch, parse_options

_TENANT: Final = "invokeq"  # the SDK requires a tenant for speech; no plugin has a use for one
_COUNTED_AT_ONCE: Final = 8

T = TypeVar("T")

log: Final = logging.getLogger(__name__)


class DifyPluginProvider(Provider):
    """Provider of the type `dify_plugin`."""

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        super().__init__(name, options)
        self._options = parse_options(DifyPluginOptions, name, options)
        self.batch: Batch | None = self._options.batch
        self._package = self._load()
        self._declaration = read_declaration(self._package, self._options.provider)
        self.model_types: frozenset[ModelType] = self._declaration.model_types
        self._models = PluginModels(
            name, self._declaration, self._options.credentials, self._options.models
        )
        self._host = PluginHost(
            name, self._package, self._declaration.provider, self._models, self._options
        )
        self._errors = self._host.errors
        self._counting = asyncio.Semaphore(_COUNTED_AT_ONCE)

    def models(self) -> Sequence[AIModelEntity]:
        return self._models.models()

    def facts(self, model_type: ModelType, model: str) -> AIModelEntity:
        return self._models.find((model_type, model)) or super().facts(model_type, model)

    async def start(self, model_types: Collection[ModelType] | None = None) -> None:
        """Start the plugin, check the credentials, and ask for the facts of added models.

        Raise CredentialsError, InvalidConfigurationError, PluginEnvironmentError or
        PluginStartError.
        """
        del model_types  # one process serves all types
        await self._host.open()

    @property
    def processes(self) -> int:
        """The number of the plugin's processes that take calls."""
        return self._host.processes

    @property
    def sessions(self) -> int:
        """The number of open sessions with the plugin."""
        return self._host.sessions

    async def close(self) -> None:
        await self._host.close()

    async def llm(self, call: LLMCall) -> AsyncGenerator[LLMResultChunk, None]:
        request = {
            **self._host.request(ModelType.LLM, call.model),
            "prompt_messages": [m.model_dump(mode="json") for m in call.prompt_messages],
            "model_parameters": dict(call.parameters),
            "tools": [tool.model_dump(mode="json") for tool in call.tools] or None,
            "stop": list(call.stop) or None,
            "stream": call.stream,
        }
        stream = answers.ChunkStream(call.model)
        read = stream.read if call.stream else stream.only
        async with aclosing(self._host.ask("invoke_llm", request, call.user)) as messages:
            try:
                async for data in messages:
                    yield self._read(call.model, read, data)
            except InvokeqError as error:
                # `from None`: the plugin's own text may hold a secret, and must reach no traceback.
                raise self._errors.translated(error, call.model, stream.chunks) from None
        last = self._read(call.model, lambda _: stream.end(), None)
        if last is not None:
            yield last

    async def count_tokens(self, model: str, texts: Sequence[str]) -> Sequence[int] | None:
        """Return the plugin's counts; None if the plugin cannot count, as without a tokenizer."""
        if not self._options.counts_tokens:
            return None
        counts = await asyncio.gather(*(self._count(model, text) for text in texts))
        # All or none: callers add the counts up.
        known = [count for count in counts if count is not None]
        return known if len(known) == len(counts) else None

    async def text_embedding(self, call: EmbeddingCall) -> Embedded:
        request = {
            **self._host.request(ModelType.TEXT_EMBEDDING, call.model),
            "input_type": call.input_type.value,
        }
        if call.documents:
            action = "invoke_multimodal_embedding"
            request["documents"] = [_plain(document) for document in call.documents]
        else:
            action = "invoke_text_embedding"
            request["texts"] = list(call.texts)
        return await self._unary(action, request, call, answers.embedded)

    async def rerank(self, call: RerankCall) -> Sequence[Score]:
        is_text = isinstance(call.query, str)
        request = {
            **self._host.request(ModelType.RERANK, call.model),
            "query": _plain(call.query),
            "docs": [_plain(document) for document in call.docs],
            "score_threshold": None,  # the worker applies it to untouched scores
            "top_n": call.top_n,
        }
        action = "invoke_rerank" if is_text else "invoke_multimodal_rerank"
        return await self._unary(action, request, call, answers.scores)

    async def tts(self, call: SpeechCall) -> Speech:
        request = {
            **self._host.request(ModelType.TTS, call.model),
            "content_text": call.text,
            "voice": call.voice,
            "tenant_id": _TENANT,
        }
        messages = await self._all("invoke_tts", request, call.model, call.user)
        return self._read(call.model, lambda found: answers.speech(found, call.facts), messages)

    async def speech2text(self, call: TranscriptionCall) -> str:
        request = {
            **self._host.request(ModelType.SPEECH2TEXT, call.model),
            "file": call.audio.hex(),
        }
        return await self._unary("invoke_speech2text", request, call, answers.text)

    async def moderation(self, call: ModerationCall) -> bool:
        request = {**self._host.request(ModelType.MODERATION, call.model), "text": call.text}
        return await self._unary("invoke_moderation", request, call, answers.verdict)

    async def _all(
        self, action: str, request: Mapping[str, Any], model: str, user: str | None
    ) -> list[Mapping[str, Any]]:
        try:
            async with aclosing(self._host.ask(action, request, user)) as messages:
                return [message async for message in messages]
        except InvokeqError as error:
            raise self._errors.translated(error, model) from None

    async def _unary(
        self,
        action: str,
        request: Mapping[str, Any],
        call: "_Call",
        reader: Callable[[Mapping[str, Any]], T],
    ) -> T:
        messages = await self._all(action, request, call.model, call.user)
        return self._read(call.model, lambda found: reader(answers.one(found)), messages)

    def _read(self, model: str, reader: Callable[[Any], T], data: Any) -> T:
        try:
            return reader(data)
        except answers.NO_ANSWER as error:
            # A validation error quotes the answer; its class says enough.
            known = isinstance(error, ValidationError) or str(error) == ""
            problem = type(error).__name__ if known else str(error)
            raise self._errors.unusable(model, problem) from None

    async def _count(self, model: str, text: str) -> int | None:
        request = {
            **self._host.request(ModelType.LLM, model),
            "prompt_messages": [UserPromptMessage(content=text).model_dump(mode="json")],
            "tools": None,
        }
        try:
            async with self._counting:
                messages = await self._all("get_llm_num_tokens", request, model, None)
            return self._read(
                model, lambda found: answers.token_count(answers.one(found)), messages
            )
        except InvokeqError as error:
            log.info("token count failed plugin=%s problem=%s", self._package.id, error)
            return None

    def _load(self) -> PluginPackage:
        try:
            return load_package(self._options.path)
        except InvalidConfigurationError as error:
            if error.setting != "path":
                raise
            setting = f"providers.{self.name}.path"
            problem = f"{error.source}: {error.problem}"
            raise InvalidConfigurationError(
                source=CONFIG_SOURCE, setting=setting, problem=problem
            ) from None


class _Call(Protocol):
    @property
    def model(self) -> str: ...
    @property
    def user(self) -> str | None: ...


def _plain(document: str | MultiModalContent) -> Any:
    return document if isinstance(document, str) else document.model_dump(mode="json")
