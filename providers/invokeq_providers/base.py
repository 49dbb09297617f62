"""The base class of providers: the code that talks to one vendor or one local model.

A provider never sees Redis or RQ. A provider gets calls with parameters, tools and stop words
checked against the facts of the model (see `calls`), and yields protocol entities. A provider
promises:

* closing a returned generator closes the connection to the vendor at once;
* every fault is raised as an `InvokeqError`, with `retry_after` in seconds if the vendor sent one;
* the event loop is never blocked: blocking code runs in threads or processes.

A provider does not retry, does not count attempts, and shares no state of one call with another.
"""

from abc import ABC
from array import array
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Any, TypeAlias, TypeVar, cast

from invokeq.protocol.entities import (
    AIModelEntity,
    EmbeddingInputType,
    ModelType,
    MultiModalContent,
    PromptMessage,
    PromptMessageTool,
)
from invokeq.protocol.errors import InvalidRequestError, MissingExtraError, ModelNotFoundError
from invokeq.protocol.usage import BillingUnit
from invokeq_providers.call_methods import streaming_call, unary_call
from invokeq_providers.chunks import LLMChunk
from invokeq_providers.options import Batch


def _nothing() -> None:
    """Ignore the heartbeat."""


def _free(amount: float | Decimal, unit: BillingUnit) -> None:
    """Ignore the usage."""


RecordUsage: TypeAlias = Callable[[float | Decimal, BillingUnit], None]
"""Record usage of a call as the vendor reports the usage; called by the provider."""


@dataclass(frozen=True, slots=True)
class LLMCall:
    """One LLM call, in the form for providers.

    `parameters` are validated against `facts`. `tools` is empty for a model without a feature for
    tool calls. `stream=False` hints that no reader waits for partial output. `ignored_parameters`
    names the caller's parameters without a rule of the model; none of the ignored ones reaches the
    vendor. Call `heartbeat` while a call makes progress without output, such as waiting in a queue
    or computing locally. Every kind of call has a heartbeat.
    """

    request_id: str
    model: str
    facts: AIModelEntity
    prompt_messages: Sequence[PromptMessage]
    parameters: Mapping[str, Any]
    tools: Sequence[PromptMessageTool]
    stop: Sequence[str]
    stream: bool
    user: str | None
    ignored_parameters: Sequence[str] = ()
    heartbeat: Callable[[], None] = _nothing


@dataclass(frozen=True, slots=True)
class EmbeddingCall:
    """One batch of texts, or of multimodal documents, within the model's `max_chunks`.

    Exactly one of `texts` and `documents` is not empty. No text is empty.
    """

    request_id: str
    model: str
    facts: AIModelEntity
    texts: Sequence[str]
    documents: Sequence[MultiModalContent]
    input_type: EmbeddingInputType
    user: str | None
    heartbeat: Callable[[], None] = _nothing


@dataclass(frozen=True, slots=True)
class Embedded:
    """One row a text, in order: `array("f")` if 32 bits are exact, else `array("d")`."""

    rows: Sequence["array[float]"]
    tokens: int


@dataclass(frozen=True, slots=True)
class RerankCall:
    """Texts, or multimodal documents, to score against a query; never without documents."""

    request_id: str
    model: str
    facts: AIModelEntity
    query: str | MultiModalContent
    docs: Sequence[str] | Sequence[MultiModalContent]
    top_n: int | None
    user: str | None
    heartbeat: Callable[[], None] = _nothing
    # Other kinds return usage with the answer; scores, audio and text have no place for usage.
    record_usage: RecordUsage = _free


@dataclass(frozen=True, slots=True)
class Score:
    """Relevance of the document at `index` of the call, on the vendor's own scale."""

    index: int
    score: float


@dataclass(frozen=True, slots=True)
class SpeechCall:
    """A piece of text to speak, one sentence or a few, within the model's word limit.

    `voice` is one of the facts' voices.
    """

    request_id: str
    model: str
    facts: AIModelEntity
    text: str
    voice: str
    user: str | None
    heartbeat: Callable[[], None] = _nothing
    record_usage: RecordUsage = _free


@dataclass(frozen=True, slots=True)
class Speech:
    """One audio segment, playable alone; segments of one answer may be joined byte by byte."""

    audio: bytes
    mime_type: str


@dataclass(frozen=True, slots=True)
class TranscriptionCall:
    """A whole audio file; `mime_type` was recognised from its bytes, `filename` fits it."""

    request_id: str
    model: str
    facts: AIModelEntity
    audio: bytes
    mime_type: str
    filename: str
    user: str | None
    heartbeat: Callable[[], None] = _nothing
    record_usage: RecordUsage = _free


@dataclass(frozen=True, slots=True)
class ModerationCall:
    """A text to judge, within the model's limit of characters."""

    request_id: str
    model: str
    facts: AIModelEntity
    text: str
    user: str | None
    heartbeat: Callable[[], None] = _nothing
    record_usage: RecordUsage = _free


class Provider(ABC):
    """One configured provider; the worker holds one instance for its whole life.

    `name` is the name in invokeq.toml and in model configs (`openai`). `options` is the table
    `[providers.<name>]` without `type`, as plain Python values. The constructor must be cheap, and
    must not use the network. The constructor raises `CredentialsError` or
    `InvalidConfigurationError` for wrong options, and `MissingExtraError` for a missing package.
    """

    model_types: frozenset[ModelType] = frozenset()
    """Served model types; some may depend on installed packages."""

    missing: Mapping[ModelType, MissingExtraError] = MappingProxyType({})
    """Model types not served for lack of a package, each with the error naming the package."""

    any_model: bool = False
    """Whether names of models missing in `models()` are accepted."""

    batch: Batch | None = None
    """Bounds of embedding calls shared by several callers; `build_providers` adds the wrapper."""

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        self.name = name
        self.options = options

    @property
    def unwrapped(self) -> "Provider":
        """Return the innermost provider, without wrappers."""
        return self

    def models(self) -> Sequence[AIModelEntity]:
        """Return the facts of all known models, of all model types."""
        raise NotImplementedError

    def facts(self, model_type: ModelType, model: str) -> AIModelEntity:
        """Return the facts of one model, or raise `ModelNotFoundError` listing known models."""
        known = [entity for entity in self.models() if entity.model_type == model_type]
        for entity in known:
            if entity.model == model:
                return entity
        raise ModelNotFoundError(
            provider=self.name,
            model=model,
            model_type=model_type.value,
            known=", ".join(entity.model for entity in known) or "none",
        )

    async def start(self, model_types: Collection[ModelType] | None = None) -> None:
        """Load in advance to spare the first call the wait; called once, before the first call.

        `model_types` are the types served by the process, None if unknown.
        """

    async def close(self) -> None:
        """Close connections, threads and processes; called once when the worker ends."""

    @streaming_call
    def llm(self, call: LLMCall) -> AsyncGenerator[LLMChunk, None]:
        """Yield chunks as soon as the model makes each; the last has usage and finish_reason."""
        raise NotImplementedError

    async def count_tokens(self, model: str, texts: Sequence[str]) -> Sequence[int] | None:
        """Return the number of tokens of each text for the LLM, None without a known tokenizer.

        Texts may be many and long, so implementations must not block the loop. No text is sent to a
        vendor.
        """
        del model, texts
        return None

    @unary_call
    async def text_embedding(self, call: EmbeddingCall) -> Embedded:
        """Return the vectors of one batch; batches of one invocation run concurrently."""
        raise NotImplementedError

    @unary_call
    async def rerank(self, call: RerankCall) -> Sequence[Score]:
        """Return the scores of the documents in any order, unchanged and without a threshold."""
        raise NotImplementedError

    @unary_call
    async def tts(self, call: SpeechCall) -> Speech:
        """Return the speech of one piece of text; pieces of one invocation run concurrently."""
        raise NotImplementedError

    @unary_call
    async def speech2text(self, call: TranscriptionCall) -> str:
        """Return the text of the audio, empty for audio without speech."""
        raise NotImplementedError

    @unary_call
    async def moderation(self, call: ModerationCall) -> bool:
        """Return whether the text is sensitive; a fault is an error, never False."""
        raise NotImplementedError


ProviderT = TypeVar("ProviderT", bound=Provider)


def provider_as(provider: Provider, cls: type[ProviderT]) -> ProviderT:
    """Return a provider, wrappers included, typed as a class with extra call methods.

    Raises InvalidRequestError for a provider of another class.
    """
    # The innermost provider decides: a wrapper is an instance of no vendor's class.
    if not isinstance(provider.unwrapped, cls):
        problem = f"{provider.name} serves no calls of this kind"
        raise InvalidRequestError(provider=provider.name, field="provider", problem=problem)
    return cast(ProviderT, provider)  # wrappers forward what the class has beyond `Provider`
