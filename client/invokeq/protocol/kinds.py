"""The table of kinds of call: one record a kind, and the only list of kinds.

A client validates and decodes by the table, a worker dispatches and checks permissions by the
table, the gateway finds paths in the table, and fakes answer by the table. A package adds a new
kind with an entry point of the group `invokeq.kinds` for a `CallKind`; see ARCHITECTURE.md, "How to
add a kind".

Parts of one side only are references, `"module:attribute"`, imported on first use: a client never
imports a provider, nor a worker a session.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Final

from invokeq.protocol import requests
from invokeq.protocol.entities import ModelType
from invokeq.protocol.errors import InvalidConfigurationError
from invokeq.protocol.requests import CallRequest

ENTRY_POINTS: Final = "invokeq.kinds"
"""The entry-point group of packages with more kinds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallKind:
    """One kind of call. The attributes `*_ref` are `"module:attribute"` references.

    `request` is the model of the request; the default of the model's field `kind` is the name on
    the wire, and the type of Dify's reverse invocation. `permission` is the switch in a plugin's
    manifest for the kind. `attribute` and `method` are the caller's way to the kind:
    `session.model.llm.invoke`. `streamed` says whether Dify's wire answers with several objects.
    `path` is the gateway's path below `/inner/api/`.

    `calls_ref` and `async_calls_ref` name the classes behind `session.model.<attribute>`.
    `decoder_ref` names a function from the request to a ResultDecoder. `serve_ref` names the
    provider side: `serve(request, services)` yields outputs. `reverse_ref` names the answer to a
    reverse invocation: `handler(session, payload)` yields JSON objects. `fake_ref` names a function
    of `invokeq.testing` from scripted answers to events.
    """

    request: type[CallRequest]
    permission: str
    attribute: str
    method: str = "invoke"
    streamed: bool = False
    path: str
    calls_ref: str
    async_calls_ref: str
    decoder_ref: str
    serve_ref: str
    reverse_ref: str
    fake_ref: str

    @property
    def name(self) -> str:
        """Return the name on the wire."""
        return str(self.request.model_fields["kind"].default)

    @property
    def model_type(self) -> ModelType:
        """Return the type of the models that serve the kind."""
        return self.request.model_type


def _builtin(
    request: type[CallRequest],
    attribute: str,
    module: str,
    *,
    calls: str,
    permission: str | None = None,
    method: str = "invoke",
    streamed: bool = False,
    path: str,
    serve: str,
) -> CallKind:
    """Return the record of a kind with references after the pattern of the built-in kinds."""
    name = str(request.model_fields["kind"].default)
    return CallKind(
        request=request,
        permission=permission or attribute,
        attribute=attribute,
        method=method,
        streamed=streamed,
        path=path,
        calls_ref=f"invokeq.models.{module}:{calls}",
        async_calls_ref=f"invokeq.models.{module}:Async{calls}",
        decoder_ref=f"invokeq.results.decode:{name}_decoder",
        serve_ref=f"invokeq_providers.calls.{serve}",
        reverse_ref=f"invokeq.dify.reverse.handlers:{name}",
        fake_ref=f"invokeq.testing.kinds:{name}",
    )


_BUILTIN: Final = (
    _builtin(
        requests.LLMRequest,
        "llm",
        "llm",
        calls="LLM",
        streamed=True,
        path="invoke/llm",
        serve="llm:serve_llm",
    ),
    _builtin(
        requests.LLMStructuredOutputRequest,
        "llm_structured_output",
        "llm_structured_output",
        calls="LLMStructuredOutput",
        permission="llm",
        streamed=True,
        path="invoke/llm/structured-output",
        serve="structured:serve_structured",
    ),
    _builtin(
        requests.SummaryRequest,
        "summary",
        "summary",
        calls="Summary",
        permission="llm",
        path="invoke/summary",
        serve="summary:serve_summary",
    ),
    _builtin(
        requests.TextEmbeddingRequest,
        "text_embedding",
        "text_embedding",
        calls="TextEmbedding",
        path="invoke/text-embedding",
        serve="embedding:serve_embedding",
    ),
    _builtin(
        requests.MultiModalEmbeddingRequest,
        "text_embedding",
        "text_embedding",
        calls="TextEmbedding",
        method="invoke_multimodal",
        path="invoke/multimodal-embedding",
        serve="embedding:serve_embedding",
    ),
    _builtin(
        requests.RerankRequest,
        "rerank",
        "rerank",
        calls="Rerank",
        path="invoke/rerank",
        serve="rerank:serve_rerank",
    ),
    _builtin(
        requests.MultiModalRerankRequest,
        "rerank",
        "rerank",
        calls="Rerank",
        method="invoke_multimodal",
        path="invoke/multimodal-rerank",
        serve="rerank:serve_rerank",
    ),
    _builtin(
        requests.TTSRequest,
        "tts",
        "tts",
        calls="TTS",
        streamed=True,
        path="invoke/tts",
        serve="tts:serve_tts",
    ),
    _builtin(
        requests.Speech2TextRequest,
        "speech2text",
        "speech2text",
        calls="Speech2Text",
        path="invoke/speech2text",
        serve="speech2text:serve_speech2text",
    ),
    _builtin(
        requests.ModerationRequest,
        "moderation",
        "moderation",
        calls="Moderation",
        path="invoke/moderation",
        serve="moderation:serve_moderation",
    ),
)


@cache
def call_kinds() -> Mapping[str, CallKind]:
    """Return every kind by name: the built-in kinds, then the kinds of installed packages.

    Raise InvalidConfigurationError for an entry point that cannot be loaded or takes the name of
    another kind.
    """
    # An error is not cached: each call fails again until the operator removes the package.
    kinds = {kind.name: kind for kind in _BUILTIN}
    for entry in entry_points(group=ENTRY_POINTS):
        try:
            kind = entry.load()
        except (ImportError, AttributeError) as error:
            raise _bad_entry(entry.name, f"cannot be loaded: {error}") from error
        if not isinstance(kind, CallKind):
            raise _bad_entry(entry.name, f"must name a CallKind, not a {type(kind).__name__}")
        if kind.name in kinds:
            raise _bad_entry(entry.name, f"brings the kind {kind.name!r}, which exists already")
        kinds[kind.name] = kind
    return kinds


@cache
def builtin_kinds() -> Mapping[str, CallKind]:
    """Return the kinds of invokeq, without a look at installed packages."""
    return {kind.name: kind for kind in _BUILTIN}


def find_kind(name: str) -> CallKind | None:
    """Return the kind of a name, or None; look at installed packages for other names only."""
    # A scan of all installed packages would slow down the first call of every process.
    return builtin_kinds().get(name) or call_kinds().get(name)


@cache
def resolve(reference: str) -> Callable[..., Any]:
    """Import and return the object of a `"module:attribute"` reference."""
    module, _, attribute = reference.partition(":")
    found: Callable[..., Any] = getattr(import_module(module), attribute)
    return found


def _bad_entry(name: str, problem: str) -> InvalidConfigurationError:
    return InvalidConfigurationError(
        source="installed packages", setting=f"entry point {ENTRY_POINTS}:{name}", problem=problem
    )
