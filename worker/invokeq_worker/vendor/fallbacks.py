"""The operator's fallback lists: models that stand in for a failing model.

A fallback answers the whole request, and only before any output is emitted. The request is prepared
anew for each fallback, so the fallback's own facts decide about parameters, tools and parts. A
fallback that cannot take the request is skipped. If every model fails, the error is the error of
the requested model.
"""

from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace

from invokeq.protocol.entities import ModelType
from invokeq.protocol.errors import (
    ConfigurationError,
    InvalidConfigurationError,
    InvokeqError,
    ModelNotFoundError,
    RequestError,
)
from invokeq.protocol.names import canonical_provider
from invokeq.protocol.requests import CallRequest, ModelRequest
from invokeq_providers.base import Provider
from invokeq_providers.calls import Output, Services, serve
from invokeq_worker.config.retry_policy import allows_fallback
from invokeq_worker.config.values import Fallbacks, ModelRef
from invokeq_worker.vendor.vendor_calls import VendorCalls


async def serve_with_fallbacks(
    request: CallRequest,
    services: Services,
    fallbacks: Fallbacks,
    calls: VendorCalls,
    check: Callable[[CallRequest], None],
) -> AsyncGenerator[Output, None]:
    """Yield the outputs of the requested model, else of the first fallback able to answer.

    `check` raises for a request without permission, and runs for every fallback too. An error holds
    the number of vendor calls in `calls`, and the tried fallbacks in `tried`.
    """
    asked = asked_model(request, services)
    turns = [asked, *_usable(request, asked, fallbacks)]
    emitted = False
    first: InvokeqError | None = None
    for number, model in enumerate(turns):
        try:
            own, with_services = _for_model(request, services, model, asked)
            # For every model anew: permission for one model is no permission for a fallback.
            check(own)
            async with aclosing(serve(own, with_services)) as outputs:
                async for output in outputs:
                    # Before the yield: the reader may already have the output when the next
                    # line runs, and a fallback would repeat the answer from the start.
                    emitted = True
                    yield output
        except InvokeqError as error:
            # A request that is wrong for a fallback may be right for the next one, but a request
            # that is wrong for the requested model is the caller's own mistake.
            goes_on = allows_fallback(error) or (first is not None and _is_unfit(error))
            if emitted or not goes_on or len(turns) == 1:
                _annotate(error, calls, turns[1 : number + 1])
                raise
            first = first or error
            calls.report_failure(error, model, turns[number + 1] if model != turns[-1] else None)
        else:
            return
    if first is not None:
        raise _annotate(first, calls, turns[1:])


def asked_model(request: CallRequest, services: Services) -> ModelRef:
    """Return the model of a request, or the operator's choice for a request without a model."""
    if isinstance(request, ModelRequest):
        return ModelRef(canonical_provider(request.provider), request.model)
    provider, _, model = (services.summary_model or "").partition("/")
    return ModelRef(canonical_provider(provider), model)


def check_fallbacks(
    fallbacks: Fallbacks, providers: Mapping[str, Provider], source: str
) -> Iterator[InvalidConfigurationError]:
    """Yield an error for each useless fallback list: unknown models, other types, other vectors."""
    for asked, others in fallbacks.items():
        if asked.provider not in providers:
            continue  # a pool without the provider never asks for a fallback
        types = _model_types(asked, providers)
        problem = None if types else f"{asked.provider} has no model {asked.model}"
        for other in others:
            shared = types & _model_types(other, providers)
            if problem is None and not shared:
                kinds = ", ".join(sorted(kind.value for kind in types))
                problem = f"{other} is no model that there is for {kinds}"
            elif shared == {ModelType.TEXT_EMBEDDING} and other.model != asked.model:
                problem = f"vectors of {other} cannot stand for those of another model"
        if problem is not None:
            setting = f'fallbacks."{asked}"'
            yield InvalidConfigurationError(source=source, setting=setting, problem=problem)


def _model_types(ref: ModelRef, providers: Mapping[str, Provider]) -> set[ModelType]:
    provider = providers.get(ref.provider)
    if provider is None:
        return set()
    return {kind for kind in provider.model_types if _has_model(provider, kind, ref.model)}


def _has_model(provider: Provider, model_type: ModelType, model: str) -> bool:
    try:
        provider.facts(model_type, model)
    except ModelNotFoundError:
        return False
    return True


def _usable(request: CallRequest, asked: ModelRef, fallbacks: Fallbacks) -> list[ModelRef]:
    """Return the usable fallbacks of a model; vectors of two models are not comparable."""
    others = fallbacks.get(asked, ())
    if request.model_type is ModelType.TEXT_EMBEDDING:
        return [other for other in others if other.model == asked.model]
    return list(others)


def _for_model(
    request: CallRequest, services: Services, model: ModelRef, asked: ModelRef
) -> tuple[CallRequest, Services]:
    """Return request and services for one model; unchanged for the requested model."""
    if model == asked:
        return request, services
    if isinstance(request, ModelRequest):
        return request.model_copy(update=model._asdict()), services
    return request, replace(services, summary_model=str(model))


def _is_unfit(error: InvokeqError) -> bool:
    """Return whether a fallback cannot take the request; other fallbacks may."""
    return isinstance(error, RequestError | ConfigurationError)


def _annotate(error: InvokeqError, calls: VendorCalls, tried: Sequence[ModelRef]) -> InvokeqError:
    """Return the error with the number of vendor calls and the tried fallbacks."""
    if calls.made:
        error.calls = calls.made
    if calls.made > 1:
        error.append_to("detail", f" (after {calls.made} vendor calls)")
    if tried:
        error.tried = [str(model) for model in tried]
    return error
