"""Finds the provider side of a kind of request."""

from collections.abc import AsyncGenerator

from invokeq.protocol.errors import InvalidRequestError
from invokeq.protocol.kinds import find_kind, resolve
from invokeq.protocol.requests import CallRequest
from invokeq_providers.calls.outputs import Output, Services


def serve(request: CallRequest, services: Services) -> AsyncGenerator[Output, None]:
    """Answer a request piece by piece; closing the generator closes connections to the vendor.

    The kind's `serve_ref` answers. A worker has imported all of them before its first job.
    """
    kind = find_kind(request.kind)
    if kind is None:
        raise InvalidRequestError(field="kind", problem=f"no kind is called {request.kind!r}")
    outputs: AsyncGenerator[Output, None] = resolve(kind.serve_ref)(request, services)
    return outputs
