"""Dispatch of a request to the serving function of the request's kind."""

from collections.abc import AsyncGenerator

from invokeq.protocol.errors import InvalidRequestError
from invokeq.protocol.kinds import find_kind, resolve
from invokeq.protocol.requests import CallRequest
from invokeq_providers.calls.outputs import Output, Services


def serve(request: CallRequest, services: Services) -> AsyncGenerator[Output, None]:
    """Return the outputs of a request as an async generator, made by the kind's `serve_ref`.

    Closing the generator closes connections to the vendor. A worker imports every `serve_ref`
    before the first job, so the lookup imports nothing. Raises `InvalidRequestError` for an unknown
    kind.
    """
    kind = find_kind(request.kind)
    if kind is None:
        raise InvalidRequestError(field="kind", problem=f"no kind is called {request.kind!r}")
    outputs: AsyncGenerator[Output, None] = resolve(kind.serve_ref)(request, services)
    return outputs
